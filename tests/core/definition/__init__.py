"""What is public, and how stages and pipelines are defined."""
