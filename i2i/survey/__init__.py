"""Surveys of data sets: layouts, sizes, likenesses, mistakes, and splits."""
