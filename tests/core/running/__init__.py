"""Runs: what a pipeline does with its items, on which loops, and in which threads."""
