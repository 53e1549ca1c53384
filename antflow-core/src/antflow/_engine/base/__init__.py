"""What all wings share: items, outcomes, the state of a run, cancellation and the loop's budget."""
