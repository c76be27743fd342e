"""The `i2i` command, installed as i2i_cli. From the source tree, without installing: `python -m cli`."""
