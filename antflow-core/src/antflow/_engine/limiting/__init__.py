"""Which items the limits of a stage admit."""
