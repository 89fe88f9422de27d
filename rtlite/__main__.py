"""``python -m rtlite`` is the same as ``rtlite``."""

from rtlite.cli import main

if __name__ == "__main__":
    main()
