"""Tuning: what short trainings say about the settings of a long one."""
