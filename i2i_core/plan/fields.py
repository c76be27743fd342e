"""The fields of a batch, by name."""

SOURCE = ("x_real", "y_org")
"""The source picture and its domain."""
TARGET = ("y_trg", "x_ref", "x_ref2")
"""The target domain, and two reference pictures of it."""
PAIR = "x_pair"
"""The true translation of x_real into y_trg."""
EVERY_FIELD = (*SOURCE, *TARGET, PAIR)
