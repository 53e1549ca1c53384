"""The engine: items, channels, workers and runs."""
