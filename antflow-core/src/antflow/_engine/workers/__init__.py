"""A stage in one run: its workers and their loops, attempts, and how an item leaves a stage."""
