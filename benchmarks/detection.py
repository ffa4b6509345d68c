"""Images a second of training a detector, beside torchvision's reference loop with the same network and batches.

    python benchmarks/detection.py [--data voc:data/BCCD] [--batches 10] [--rounds 3] [--side 320] [--weights FILE]
    python benchmarks/detection.py --train-epochs 8 --seeds 0,1,2 --side 192 --weights FILE

FCOS on MobileNetV2, batches of 8. The other loop follows torchvision's references/detection of 0.29: pictures decoded
by Pillow at every look in loader processes, flipped as tensors, resized and normalised inside the model, a forward by
its own loss, `.item()` of the reduced loss at every step. Both train in float32, and in bfloat16 where the processor
multiplies it natively. Rounds are interleaved in this process; medians. One line a call in results/detection.jsonl.

With `--train-epochs` both loops train from the same weights by AdamW, at the same rate in each step, and the AP of
each on the test images, by its own forward and COCO's rules, is told: what is faster must not be worse. A line a seed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from common import Results, parsed, parser, shapes, summary

if TYPE_CHECKING:
    from torch import nn

    from fewer.data.listing.splits import Split
    from fewer.session.build import Session

BATCH, LR, DETECTIONS = 8, 0.005, 100
ADAMW_LR, DECAY = 0.001, 0.01  # where AP is compared: few epochs suffice


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--data", default="voc:data/BCCD", help="a source of boxes")
    command.add_argument("--batches", type=int, default=10, help="of a round")
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--side", type=int, default=320)
    command.add_argument("--workers", type=int, default=2, help="loader processes of the other loop")
    command.add_argument("--weights", default="none", help="file of a MobileNetV2's weights")
    command.add_argument("--train-epochs", type=int, default=0, help="compare the AP of so many epochs instead")
    command.add_argument("--seeds", default="0", help="comma-separated, for --train-epochs")
    args = parsed(command, "--batches=1", "--rounds=1", "--side=64")
    with shapes(16, 64) if args.smoke else nullcontext() as made_up:
        args.data = f"voc:{made_up / 'boxes'}" if made_up else args.data
        if not args.train_epochs or args.smoke:
            measure(args)
        for seed in map(int, args.seeds.split(",")):
            if args.train_epochs or args.smoke:
                compare(args, args.train_epochs or 1, seed)


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


def compare(args: Any, epochs: int, seed: int) -> None:
    """Trains with both loops, evaluates both nets alike, prints the AP of both, and keeps them."""
    import torch

    from fewer.core.types import Request
    from fewer.sync.comm import SingleProcess
    from fewer.training.loop import train

    decay = dict.fromkeys(("weight_decay", "norm_weight_decay", "bias_weight_decay"), DECAY)
    train_keys = {"optimizer": "adamw", "lr": ADAMW_LR, "epochs": epochs, "seed": seed, **decay}
    session = session_of(args, "fp32", train_keys, test="auto")
    torch.manual_seed(seed)
    theirs = Reference(args, "fp32", session.splits.train)
    theirs.optimizer = torch.optim.AdamW(theirs.model.parameters(), ADAMW_LR, weight_decay=DECAY)
    rates = [row.lr for row in train(session.task, session.train_data, session.run)]
    for lr in rates:
        for group in theirs.optimizer.param_groups:
            group["lr"] = lr
        theirs.step()
    test = session.splits.test
    requests = [Request.evaluation(session.plan.evaluation_side_px, epochs, ids_B) for ids_B in test.ids_M.split(BATCH)]
    model, batches = session.run.workers[0].model, session.test_data.batches(requests)
    pictures = Pictures(test, is_training=False)
    singles = (together([pictures[place]]) for place in range(len(pictures)))
    scalars = {
        "ours": session.task.evaluate(model, batches, SingleProcess()).scalars,
        "reference": scalars_of(theirs.model, singles, pictures),
    }
    found = {who: {name: each[name] for name in ("ap", "ap50")} for who, each in scalars.items()}
    for who, each in found.items():
        print(f"{who}, seed {seed}, {epochs} epochs: AP {each['ap']:.3f}, AP50 {each['ap50']:.3f}", flush=True)
    settings = {"epochs": epochs, "seed": seed, "side": args.side, "steps": len(rates)}
    Results("detection", args.smoke).keep(metrics=found, **settings)


def ours(args: Any, precision: str) -> Callable[[], None]:
    """A function that trains on one batch."""
    from fewer.training.loop import train

    session = session_of(args, precision, {"epochs": 1000, "lr": LR, "weight_decay": 1e-4}, test="none")
    rows = train(session.task, session.train_data, session.run)
    return lambda: next(rows) and None


def session_of(args: Any, precision: str, train: dict[str, Any], test: str) -> Session:
    """A run of fewer, which nothing has trained yet."""
    from fewer.recipe.parse import parse_recipe
    from fewer.session.build import open_data, open_session

    recipe = parse_recipe(
        {
            "data": {"source": args.data, "val": "none", "test": test, "in_memory": "yes"},
            "model": {"name": "fcos_mobilenet_v2", "weights": args.weights},
            "task": {"name": "detect"},
            "augment": {"flip": "random"},
            "train": {"batch_size": BATCH, "side_px": args.side, "precision": precision, **train},
        }
    )
    return open_session(recipe, open_data(recipe))


def theirs(args: Any, precision: str) -> Callable[[], None]:
    """A function that trains on one batch as the reference does."""
    from fewer.data.listing.splits import open_splits

    return Reference(args, precision, open_splits(args.data, "none", "none").train).step


class Reference:
    """torchvision's loop.

    Attributes:
        net: The network that it trains, which is one of ours.
        optimizer: Steps it.
    """

    def __init__(self, args: Any, precision: str, split: Split) -> None:
        import torch

        data = Pictures(split)
        self.net, self.precision = network(data, args.side, args.weights), precision
        self.model = reference(data, args.side, self.net).train()
        self.batches = forever(
            torch.utils.data.DataLoader(data, BATCH, shuffle=True, num_workers=args.workers, collate_fn=together)
        )
        weights = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(weights, LR, momentum=0.9, weight_decay=1e-4)

    def step(self) -> None:
        """Trains on one batch."""
        import torch

        images, targets = next(self.batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            losses = self.model(list(images), [dict(target) for target in targets])
            loss = sum(losses.values())
        if not torch.isfinite(torch.tensor(loss.item())):
            raise SystemExit("the reference diverged")
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def forever(loader: Any) -> Iterator[Any]:
    """Its batches, over and over; a function, so that no circle keeps loader processes alive."""
    while True:
        yield from loader


def network(data: Pictures, side: int, weights: str) -> nn.Module:
    """The network of `fcos_mobilenet_v2`, with its first weights."""
    from fewer.models.families import detectors
    from fewer.models.pretrained import read_weights

    params = detectors.Params(name="fcos_mobilenet_v2", weights=weights)
    net = detectors.build(params, data.classes, side)
    if found := read_weights(params):
        found.put_into(params, net, data.classes)
    return net


def reference(data: Pictures, side: int, net: nn.Module) -> nn.Module:
    """torchvision's FCOS around our network, for pictures whose longer side it makes `side`."""
    from torchvision.models import detection
    from torchvision.models.detection.anchor_utils import AnchorGenerator

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


def scalars_of(model: nn.Module, batches: Iterable[Any], data: Pictures) -> dict[str, float]:
    """AP of the pictures by the reference's own forward; single ones, which come in the order of their ids."""
    import numpy as np
    import torch

    from fewer.tasks.detect import coco
    from fewer.tasks.detect.metrics import scalars

    model.eval()
    found, true = [np.empty((0, 7))], [np.empty((0, 9))]
    with torch.inference_mode():
        for id, (images, targets) in zip(data.ids, batches, strict=True):
            (each,), (target,) = model(list(images)), targets
            columns = (each["labels"][:, None], each["boxes"], each["scores"][:, None])
            found.append(rows(id, *columns))
            area = (target["boxes"][:, 2:] - target["boxes"][:, :2]).prod(1, keepdim=True)
            counted = torch.zeros(len(area), 2)  # neither a crowd nor to be ignored
            true.append(rows(id, target["labels"][:, None], target["boxes"], area, counted))
    precision = coco.precision(np.concatenate(found), np.concatenate(true), data.ids, data.classes, DETECTIONS)
    return scalars(precision)


def rows(id: int, *columns: Any) -> Any:
    """Columns side by side behind the picture's id, as numpy."""
    import torch

    table = torch.cat([column.as_subclass(torch.Tensor).double() for column in columns], 1)
    return torch.cat([torch.full((len(table), 1), float(id), dtype=torch.float64), table], 1).numpy()


if __name__ == "__main__":
    main()
