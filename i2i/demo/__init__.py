"""A page in the browser that translates pictures with a trained model; needs the extra `demo`."""
