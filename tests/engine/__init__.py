"""The modules of antflow-core that have rules of their own."""
