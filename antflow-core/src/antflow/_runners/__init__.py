"""Calling tasks on the event loop or in threads."""
