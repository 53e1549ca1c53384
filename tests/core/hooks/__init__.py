"""The calls of observers: which, when, and with what."""
