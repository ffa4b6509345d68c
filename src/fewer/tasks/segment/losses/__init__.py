"""Losses of segmentation, one file each: `task.loss` names one. Each gives a sum and a count for every image.

A file has `Params` and `build(params, setting)`, which returns a function from `Pixels` to `Sums`. The loop divides
the sum over a batch by its count: losses that count pixels are means over all valid pixels of a batch, losses that
count images are means over images. An image without a valid pixel has the sum 0 and the count 0.
"""
