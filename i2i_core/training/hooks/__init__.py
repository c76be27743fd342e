"""Hooks that belong to no method."""
