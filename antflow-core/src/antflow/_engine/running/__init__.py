"""One run from begin to end, with plugins' and users' code around it."""
