"""Images a second of training a detector, beside torchvision's reference loop with the same network and batches.

    python benchmarks/detection.py [--data voc:data/BCCD] [--batches 10] [--rounds 3] [--side 320] [--weights FILE]

FCOS on MobileNetV2, batches of 8. The other loop follows torchvision's references/detection of 0.29: pictures decoded
by Pillow at every look in loader processes, flipped as tensors, resized and normalised inside the model, a forward by
its own loss, `.item()` of the reduced loss at every step. Both train in float32, and in bfloat16 where the processor
multiplies it natively. Rounds are interleaved in this process; medians. One line a call in results/detection.jsonl.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from common import Results, parsed, parser, shapes, summary

if TYPE_CHECKING:
    from torch import nn

    from fewer.data.listing.splits import Split

BATCH, LR = 8, 0.005


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--data", default="voc:data/BCCD", help="a source of boxes")
    command.add_argument("--batches", type=int, default=10, help="of a round")
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--side", type=int, default=320)
    command.add_argument("--workers", type=int, default=2, help="loader processes of the other loop")
    command.add_argument("--weights", default="none", help="file of a MobileNetV2's weights")
    args = parsed(command, "--batches=1", "--rounds=1", "--side=64")
    with shapes(16, 64) if args.smoke else nullcontext() as made_up:
        args.data = f"voc:{made_up / 'boxes'}" if made_up else args.data
        measure(args)


def measure(args: Any) -> None:
    """Times all loops, prints what came out, and keeps it."""
    from fewer.machine.precision import native_bf16

    kinds = ("fp32", "bf16") if native_bf16("cpu") else ("fp32",)
    loops = {f"ours, {kind}": ours(args, kind) for kind in kinds}
    loops |= {f"reference, {kind}": theirs(args, kind) for kind in kinds}
    for step in loops.values():  # warm: first shapes, allocator, loader processes
        step()
    seen: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(args.rounds):
        for name, step in loops.items():
            began = time.perf_counter()
            for _ in range(args.batches):
                step()
            seen[name].append(args.batches * BATCH / (time.perf_counter() - began))
    ratios = {
        kind: statistics.median(seen[f"ours, {kind}"]) / statistics.median(seen[f"reference, {kind}"]) for kind in kinds
    }
    for name, values in seen.items():
        print(f"{name}: {statistics.median(values):.2f} images/s ({min(values):.2f} to {max(values):.2f})")
    print("ours over the reference: " + ", ".join(f"{kind} {ratio:.2f}" for kind, ratio in ratios.items()))
    settings = {key: getattr(args, key) for key in ("batches", "rounds", "side", "workers")}
    rates = {name: summary(values) for name, values in seen.items()}
    Results("detection", args.smoke).keep(images_per_second=rates, ratios=ratios, **settings)


def ours(args: Any, precision: str) -> Callable[[], None]:
    """A function that trains on one batch."""
    from fewer.recipe.parse import parse_recipe
    from fewer.session.build import open_data, open_session
    from fewer.training.loop import train

    recipe = parse_recipe(
        {
            "data": {"source": args.data, "val": "none", "test": "none", "in_memory": "yes"},
            "model": {"name": "fcos_mobilenet_v2", "weights": args.weights},
            "task": {"name": "detect"},
            "augment": {"flip": "random"},
            "train": {
                "epochs": 1000,
                "batch_size": BATCH,
                "side_px": args.side,
                "lr": LR,
                "weight_decay": 1e-4,
                "precision": precision,
            },
        }
    )
    session = open_session(recipe, open_data(recipe))
    rows = train(session.task, session.train_data, session.run)
    return lambda: next(rows) and None


def theirs(args: Any, precision: str) -> Callable[[], None]:
    """A function that trains on one batch as the reference does."""
    import torch

    from fewer.data.listing.splits import open_splits

    data = Pictures(open_splits(args.data, "none", "none").train)
    model = reference(data, args.side, args.weights).train()
    loader = torch.utils.data.DataLoader(
        data, BATCH, shuffle=True, num_workers=args.workers, collate_fn=together, drop_last=True
    )
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(weights, LR, momentum=0.9, weight_decay=1e-4)

    def forever() -> Iterator[Any]:
        while True:
            yield from loader

    batches = forever()

    def step() -> None:
        images, targets = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            losses = model(list(images), [dict(target) for target in targets])
            loss = sum(losses.values())
        if not torch.isfinite(torch.tensor(loss.item())):
            raise SystemExit("the reference diverged")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def reference(data: Pictures, side: int, weights: str) -> nn.Module:
    """torchvision's FCOS around the network of `fcos_mobilenet_v2`, for pictures whose longer side it makes `side`."""
    from torchvision.models import detection
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    from fewer.models.families import detectors
    from fewer.models.pretrained import read_weights

    params = detectors.Params(name="fcos_mobilenet_v2", weights=weights)
    net = detectors.build(params, data.classes, side)
    if found := read_weights(params):
        found.put_into(params, net, data.classes)
    anchors = AnchorGenerator(tuple((stride,) for stride in (8, 16, 32, 64, 128)), ((1.0,),) * 5)
    short = round(side * data.short_share)
    return detection.FCOS(net.backbone, data.classes, short, side, anchor_generator=anchors, head=net.head)


class Pictures:
    """The images of a split as the reference's data sets give them: decoded, and to train flipped, at every look."""

    def __init__(self, split: Split, is_training: bool = True) -> None:
        import torch
        from torchvision.transforms import v2

        self.source, self.ids, self.objects = split.source, split.ids_M.tolist(), split.source.objects
        self.classes = len(split.classes)
        _, aspect = split.native_frame()
        self.short_share = min(aspect, 1 / aspect)
        flips = [v2.RandomHorizontalFlip()] if is_training else []
        self.views = v2.Compose([v2.PILToTensor(), *flips, v2.ToDtype(torch.float, scale=True)])

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> tuple[Any, Any]:
        import io

        import torch
        from PIL import Image
        from torchvision import tv_tensors

        id = self.ids[place]
        image = Image.open(io.BytesIO(self.source.read(id))).convert("RGB")
        at = self.objects.image(id)
        boxes = tv_tensors.BoundingBoxes(
            self.objects.box_A4[at], format="XYXY", canvas_size=(image.height, image.width)
        )
        target = {"boxes": boxes.float(), "labels": torch.from_numpy(self.objects.class_A[at].copy())}
        return self.views(image, target)


def together(batch: list[tuple[Any, Any]]) -> tuple[Any, ...]:
    """The reference's collate function."""
    return tuple(zip(*batch, strict=True))


if __name__ == "__main__":
    main()
