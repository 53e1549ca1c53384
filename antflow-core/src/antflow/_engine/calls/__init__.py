"""What the methods of `Pipeline` do: run, stream, feed, stop, read statistics."""
