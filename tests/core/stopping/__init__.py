"""The end of a run: shutdown, cancellation and what is left."""
