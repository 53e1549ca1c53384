"""How items enter a run: sources, readers, feeders, submitted and dropped items."""
