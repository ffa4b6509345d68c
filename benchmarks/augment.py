"""Speed of augmentation: each key on a whole batch, against torchvision's v2 transforms image by image.

    python benchmarks/augment.py [--rounds 5] [--threads 1]

Both get the same uint8 pictures, in turn. One line an image side and key in results/augment.jsonl.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from fewer.machine.memory import keep_freed_memory

keep_freed_memory()  # as the command line does

import torch  # noqa: E402
from common import Results, parsed, parser, summary  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

from fewer.data.augment import Augment, Key  # noqa: E402

BILINEAR = v2.InterpolationMode.BILINEAR


def cases(side_px: int) -> dict[str, tuple[Augment, Any]]:
    """Our keys beside the transform that does the same."""
    jitter = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    affine = Augment(rotation_deg=15.0, translate=0.1, scale=(0.8, 1.2), shear_deg=10.0)
    crop = side_px // 8
    shifted = [v2.RandomCrop(side_px, padding=crop), v2.RandomHorizontalFlip()]
    return {
        "crop and flip": (Augment(crop_padding_px=crop, flip="random"), v2.Compose(shifted)),
        **{name: (Augment(**{name: share}), v2.ColorJitter(**{name: share})) for name, share in jitter.items()},
        "all four of colour": (Augment(**jitter), v2.ColorJitter(**jitter)),
        "rotation_deg": (Augment(rotation_deg=15.0), v2.RandomRotation(15, BILINEAR)),
        "affine": (affine, v2.RandomAffine(15, (0.1, 0.1), (0.8, 1.2), 10, BILINEAR)),
        "perspective": (Augment(perspective=0.5), v2.RandomPerspective(0.5, 0.5)),
        "trivial_augment": (Augment(trivial_augment=True), v2.TrivialAugmentWide(interpolation=BILINEAR)),
        "rand_augment": (Augment(rand_augment=2), v2.RandAugment(interpolation=BILINEAR)),
        "erasing_share": (Augment(erasing_share=0.25), v2.RandomErasing(0.25)),
        "crop, flip, trivial_augment": (
            Augment(crop_padding_px=crop, flip="random", trivial_augment=True),
            v2.Compose([*shifted, v2.TrivialAugmentWide(interpolation=BILINEAR)]),
        ),
    }


def measured(case: tuple[Augment, Any], side_px: int, batch: int, rounds: int) -> tuple[list[float], list[float]]:
    """Images/s of ours and of torchvision's, in turn."""
    augment, transform = case
    store = torch.randint(0, 256, (batch, side_px, side_px, 3), dtype=torch.uint8)
    pictures, rows = list(store.permute(0, 3, 1, 2).contiguous()), torch.arange(batch)
    ours, theirs = [], []
    for epoch in range(rounds + 1):
        began = time.perf_counter()
        augment.apply(store, rows, Key(rows, 0, epoch))
        between = time.perf_counter()
        for picture in pictures:
            transform(picture)
        ours.append(batch / (between - began))
        theirs.append(batch / (time.perf_counter() - between))
    return ours[1:], theirs[1:]  # the first warms up


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=5)
    command.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parsed(command, "--rounds=1", "--threads=1")
    results = Results("augment", args.smoke)
    torch.set_num_threads(args.threads)
    for side_px, batch in ((16, 2),) if args.smoke else ((32, 512), (128, 64)):
        for name, case in cases(side_px).items():
            ours, theirs = measured(case, side_px, batch, args.rounds)
            ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
            print(
                f"{side_px:3} px, batch {batch:3}, {name:28} {statistics.median(ours):8.0f} images/s, torchvision "
                f"{statistics.median(theirs):7.0f}, {ratio:6.1f} times"
            )
            results.keep(
                side_px=side_px,
                batch=batch,
                threads=args.threads,
                case=name,
                images_per_second=summary(ours),
                torchvision_images_per_second=summary(theirs),
                ratio=ratio,
            )


if __name__ == "__main__":
    main()
