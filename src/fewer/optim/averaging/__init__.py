"""Averages of the weights, one file each."""
