"""`make grafana` draws the Grafana dashboard with real data: see the module `draw`."""
