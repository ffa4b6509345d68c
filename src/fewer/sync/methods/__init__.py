"""Sync methods, one file each."""
