"""Calls for Python that do what the command line does: `training` trains with progress shown, `models` predicts."""
