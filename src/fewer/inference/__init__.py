"""Published models: evaluation and prediction."""
