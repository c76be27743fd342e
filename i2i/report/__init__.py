"""Reports of runs as HTML pages, made from the folder of a run without torch."""
