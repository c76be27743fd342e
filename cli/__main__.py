"""Entry point for launchers (`accelerate launch -m i2i_cli train ...`) and for the source tree (`python -m cli`)."""

from .main import main

if __name__ == "__main__":  # spawned data workers import this file too
    main()
