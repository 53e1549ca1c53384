"""Plugins: who takes part in a run, and how their hooks are called."""
