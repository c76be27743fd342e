"""The web page that translates pictures with a model; needs the extra `demo`."""
