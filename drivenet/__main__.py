"""``python -m drivenet``."""

from drivenet.cli import main

if __name__ == "__main__":
    main()
