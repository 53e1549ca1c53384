"""The tests of antflow, one folder per package."""
