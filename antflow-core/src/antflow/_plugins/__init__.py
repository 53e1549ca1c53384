"""Plugins: finding and checking them, and calling their hooks."""
