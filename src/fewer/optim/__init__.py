"""Optimizers, schedules and weight averages. None of them knows the loop."""
