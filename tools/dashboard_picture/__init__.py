"""`make grafana-picture` draws the Grafana dashboard with real data: see the module `draw`."""
