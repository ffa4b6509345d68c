"""What augmentation costs: images/s of each key on a whole batch, against torchvision's v2 transforms image by image.

python benchmarks/augment.py [--rounds 5] [--threads 1]

Both get the same uint8 pictures; the two run in turn, and medians over the rounds are kept.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from common import keep, summary
from torchvision.transforms import v2

from fewer.data.augment import Augment, Key

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
        "crop, flip, trivial_augment": (
            Augment(crop_padding_px=crop, flip="random", trivial_augment=True),
            v2.Compose([*shifted, v2.TrivialAugmentWide(interpolation=BILINEAR)]),
        ),
    }


def speed(images: int, work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return images / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    for side_px, batch in ((32, 512), (128, 64)):
        store = torch.randint(0, 256, (batch, side_px, side_px, 3), dtype=torch.uint8)
        rows = torch.arange(batch)
        pictures = list(store.permute(0, 3, 1, 2).contiguous())
        for name, (augment, transform) in cases(side_px).items():
            ours, theirs = [], []
            for epoch in range(chosen.rounds + 1):  # the first warms up
                key = Key(rows, 0, epoch)
                ours.append(speed(batch, lambda key=key: augment.apply(store, rows, key)))
                theirs.append(speed(batch, lambda: [transform(picture) for picture in pictures]))
            ours, theirs = ours[1:], theirs[1:]
            ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
            print(
                f"{side_px:3} px, batch {batch:3}, {name:28} {statistics.median(ours):8.0f} images/s, torchvision "
                f"{statistics.median(theirs):7.0f}, {ratio:6.1f} times"
            )
            keep(
                "augment",
                side_px=side_px,
                batch=batch,
                threads=chosen.threads,
                case=name,
                images_per_second=summary(ours),
                torchvision_images_per_second=summary(theirs),
                ratio=ratio,
            )


if __name__ == "__main__":
    main()
