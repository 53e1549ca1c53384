"""`python -m antflow` is the command `antflow`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
