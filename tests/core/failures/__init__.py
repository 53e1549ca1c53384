"""Failed items, and the errors that a run raises."""
