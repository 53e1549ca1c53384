"""Attempts at a task and at a stage."""
