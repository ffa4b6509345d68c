"""Families of models, one file each, and the models that they hold: `model.name` names a model.

A family's file has `Params`, a subclass of `fewer.models.ModelParams`, and `build(params, classes, side_px)`, which
returns a network with fresh weights. It may also have

- `names()`: the models of a library; without it the file's own name is the only one;
- `published(params)`: the library's own weights, for `model.weights = "default"`;
- `TASK`: the task that its networks are for; without it "classify";
- `adapted(tensors, model)`: weights of another image side, or of a part of the network, made to fit;
- `TRUNK`: what the names of a part begin with whose weights do alone for a start, such as `backbone.`.
"""
