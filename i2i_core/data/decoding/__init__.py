"""Decoding of picture files: what a file is, its pixels, its colours, and what is left of a damaged one."""
