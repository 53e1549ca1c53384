"""The tests of antflow-core: one module per source module, and the simulation that they run on."""
