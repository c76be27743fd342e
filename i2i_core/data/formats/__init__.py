"""The formats of the core: how files become tensors, and tensors pictures and files again."""
