"""The hooks of the core."""
