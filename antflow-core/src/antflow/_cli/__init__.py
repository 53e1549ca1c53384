"""The modules of `antflow run`, `antflow plugins` and `antflow hooks`; `antflow.cli` has `main`."""
