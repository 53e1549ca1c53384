"""Statistics: counters that a run keeps, and snapshots of them."""
