"""Says on both streams that it is imported, and does nothing else."""

import sys

sys.stdout.write("noisy is imported\n")
sys.stderr.write("noisy is imported\n")


class Noisy:
    pass
