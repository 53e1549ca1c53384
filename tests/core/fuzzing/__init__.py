"""Random scenarios: `scenarios` draws them, `trial` runs one, `audit` checks the laws."""
