"""Statistics: the counters and histograms that a run keeps."""
