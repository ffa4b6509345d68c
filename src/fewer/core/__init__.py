"""What everything may know: types, protocols, score table, clock, randomness, ledger, errors."""
