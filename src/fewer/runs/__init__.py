"""A run on disk: folder, record, checkpoints."""
