"""Losses of a classifier, one file each: `task.loss` names one. Each gives one number a sample.

A file has `Params` and `build(params, setting)`, which returns a function from logits (B, C) and labels (B) to an
`Outcome`. Whatever the loss, its score is the probability of the true class, and `right` is whether the prediction
is correct, both by the logits as they are evaluated: without margins, priors or weights.
"""
