"""Texts and tracebacks of errors, and logging the errors of users' code."""
