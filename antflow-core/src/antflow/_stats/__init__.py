"""Statistics of a run: counters, histograms and failures by kind."""
