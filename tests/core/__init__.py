"""The tests of antflow-core, a folder for each behaviour."""
