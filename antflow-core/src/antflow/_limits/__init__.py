"""Limits on what the tasks of a stage may do at the same time and per period."""
