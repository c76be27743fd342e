"""A page about a run, made from its folder without torch."""
