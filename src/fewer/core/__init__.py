"""The ground that every folder may use: types, protocols, score table, clock, randomness, ledger, errors."""
