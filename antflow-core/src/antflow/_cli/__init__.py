"""The command `antflow run`, room by room; `cli` is its door."""
