"""The limits of a stage: how many calls at once, and how often."""
