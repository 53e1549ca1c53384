"""`python -m antflow_cli` is the command `antflow`."""

import sys

from ._main import main

if __name__ == "__main__":
    sys.exit(main())
