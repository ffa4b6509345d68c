"""Sections of the report: those of every run, and in `tasks` those of a run's task."""
