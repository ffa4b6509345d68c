"""Optimizers of our own as PyTorch classes, one file each; `fewer.optim.methods` holds their keys in a recipe."""
