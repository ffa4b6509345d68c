"""What `fewer train SOURCE` reaches on small images, beside the recipe that it chose before: SGD on growing images.

    python benchmarks/one_line.py --data data/cifar10 [--images 600,5000] [--seeds 0,1]

CIFAR-10's training images of a share alone, tested on all 10,000 test images; 5 % of the share are held out, as one
line does, and looked at once, at the end. One line a run in results/one_line.jsonl; only missing ones are made.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path

from common import Results, parsed, parser, ran

QUIET = ("evaluate.every=0", "out.plots=false", "out.previews=false")
SMALL_STANDARD = "small-standard, 20, 26, 32 px"  # five parts of its epochs, three and four


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--data", type=Path, help="folder with train/ and test/")
    command.add_argument("--images", default="600,5000", help="comma-separated")
    command.add_argument("--seeds", default="0,1", help="comma-separated")
    args = parsed(command, "--images=64", "--seeds=0")
    results = Results("one_line", args.smoke)
    source = (args.data / "train", f"data.test=folder:{args.data / 'test'}") if args.data else ("digits",)
    for seed in map(int, args.seeds.split(",")):
        for images in map(int, args.images.split(",")):
            for name in ("one line", SMALL_STANDARD):
                case = {"images": images, "seed": seed, "recipe": name}
                if not any(case.items() <= line.items() for line in results.lines):
                    keys = [
                        f"data.subset={images}",
                        f"train.seed={seed}",
                        *(growing(images) if name != "one line" else ()),
                    ]
                    results.keep(**case, **trained(*source, *keys))
    for images in sorted({line["images"] for line in results.lines}):
        for name in ("one line", SMALL_STANDARD):
            found = [line for line in results.lines if (line["images"], line["recipe"]) == (images, name)]
            if found:
                top1, fee, seconds = (
                    statistics.mean(line[key] for line in found) for key in ("top1", "fee", "seconds")
                )
                print(
                    f"{images:,} images, {name}: {top1:.2%} top-1, {fee:.2f} FEE, {seconds:.0f} s, {len(found)} seeds"
                )


def growing(images: int) -> list[str]:
    """The stages that one line gave before: 464 steps within 10 and 40 epochs, of batches of which an epoch has 16."""
    learnt = round(0.95 * images)
    batch = min(256, max(1 << (learnt // 16).bit_length() - 1, 32))
    epochs = min(max(round(464 * batch / learnt), 10), 40)
    lengths = round(epochs * 5 / 12), round(epochs * 3 / 12)
    rows = zip((*lengths, epochs - sum(lengths)), (20, 26, 32), strict=True)
    return [f"stages=[{', '.join(f'{{epochs={each}, side_px={side_px}}}' for each, side_px in rows)}]"]


def trained(*arguments: object) -> dict[str, float]:
    """Accuracy on the test images, cost and seconds of a run."""
    with tempfile.TemporaryDirectory(prefix="fewer-one-line-") as place:
        folder = Path(place, "run")
        ran("-m", "fewer", "train", *arguments, *QUIET, "--out", folder)
        result = json.loads((folder / "result.json").read_text())
    ledger = result["ledger"]
    return {
        "top1": result["metrics"]["test/top1"],
        "fee": ledger["full_epoch_equivalents"],
        "seconds": ledger["seconds"]["total"],
    }


if __name__ == "__main__":
    main()
