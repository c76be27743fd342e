"""The data sets of the core: which records there are, and where their files lie."""
