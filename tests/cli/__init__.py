"""The command `antflow`, called by its console entry point."""
