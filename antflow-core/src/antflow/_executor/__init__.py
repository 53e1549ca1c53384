"""What `antflow.executor` is made of."""
