"""Snapshots of a run: counts, seconds, failures and workers."""
