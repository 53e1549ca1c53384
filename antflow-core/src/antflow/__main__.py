"""`python -m antflow` is the command `antflow`, where antflow-cli is installed."""

import sys

from ._command import MISSING, is_installed, load

if __name__ == "__main__":
    sys.exit(load().main() if is_installed() else MISSING)
