"""Detectors on torchvision's layers, with losses of each image and without inner resizing.

Each is its torchvision class with another forward: the names of weights are torchvision's, so that files of either fit
the other, and `compute_loss` and `postprocess_detections` of the parent are there for comparison. Differences:

- images come normalised and of one size; nothing is resized or normalised inside;
- losses are told apart by image (see `fewer.core.detection.Detected`), with or without train mode;
- whatever is drawn for an image depends on that image's own number alone, not on torch's stream or on its neighbours;
- matching, losses and boxes are computed in float32 at least, and classes are numbered from 0 without a background.
"""
