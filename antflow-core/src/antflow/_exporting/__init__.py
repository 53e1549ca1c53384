"""The parts of `antflow.exporting`."""
