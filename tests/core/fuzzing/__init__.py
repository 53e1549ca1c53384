"""How the fuzz tries a scenario: `fuzzing.trial` runs it, `fuzzing.audit` checks the laws."""
