"""For launchers: `accelerate launch -m i2i_cli train ...`; and for the source tree: `python -m cli train ...`."""

from .main import main

if __name__ == "__main__":  # data workers that are spawned import this file too
    main()
