"""Limits on how many calls run at once, and on how many start in a period."""
