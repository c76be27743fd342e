"""Data sets and batches: from picture files to tensors on the device."""
