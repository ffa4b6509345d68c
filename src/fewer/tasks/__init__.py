"""What is learnt, one file a task."""
