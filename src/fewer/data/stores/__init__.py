"""Stores of images, in memory or in files."""
