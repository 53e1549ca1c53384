"""Lacks the name that the entry point leads to."""
