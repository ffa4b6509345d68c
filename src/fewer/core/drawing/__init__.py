"""Drawings on pictures: boxes, masks and names. Pillow is imported with them, torch is not."""
