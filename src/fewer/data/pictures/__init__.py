"""Stores of pictures on disk: the images of a source, made smaller once, in one memory-mapped file."""
