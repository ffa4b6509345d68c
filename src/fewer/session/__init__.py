"""A run from start to end: fit, resume, evaluation during training, artifacts."""
