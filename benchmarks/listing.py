"""Seconds and memory from start to first batch for a folder of 1.28 million small images (hard links of a few).

    python benchmarks/listing.py [--folder DIR] [--images 1280000] [--classes 1000] [--recipe "key=value" ...]

The folder is made, the cache of content hashes is warmed once, and a fresh process is measured; the folder is removed
in the end. Memory is the highest resident set above that of a process that has imported torch and numpy. One line for
the cold and one for the warm cache in results/listing.jsonl.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import Results, parsed, parser, ran

DIFFERENT = 8  # contents that are linked again and again


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--folder", type=Path, help="where to make the images; a temporary folder if left out")
    command.add_argument("--images", type=int, default=1_280_000)
    command.add_argument("--classes", type=int, default=1000)
    command.add_argument("--recipe", nargs="*", default=[], help="further keys of the recipe, as data.in_memory=no")
    command.add_argument("--until", choices=("plan", "batch"), default="batch")
    command.add_argument("--measure", type=Path, help="used by the script itself: measures this folder of images")
    args = parsed(command, "--images=80", "--classes=4", "--recipe", "train.batch_size=16", "model.width=0.1")
    if args.measure:
        print(json.dumps(measured(args.measure, args.recipe, args.until)))
        return
    results = Results("listing", args.smoke)
    with tempfile.TemporaryDirectory(dir=args.folder) as room:
        root = Path(room)
        began = time.perf_counter()
        make(root / "images", root / "contents", args.images, args.classes)
        print(f"{args.images:,} images in {args.classes:,} folders made in {time.perf_counter() - began:.0f} s")
        child = (__file__, "--measure", root / "images", "--recipe", *args.recipe, "--until")
        for name, until in (("cold", "plan"), ("warm", args.until)):
            steps = json.loads(ran(*child, until, env={"XDG_CACHE_HOME": str(root / "cache")}))
            show(name, steps)
            results.keep(cache=name, images=args.images, classes=args.classes, steps=steps)


def make(images: Path, contents: Path, count: int, classes: int) -> None:
    """Class folders of links; a file takes a limited number of links, so each class folder has files of its own."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    contents.mkdir()
    for number in range(DIFFERENT):
        pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(contents / f"{number}.png")
    blobs = [path.read_bytes() for path in sorted(contents.iterdir())]
    old = time.time() - 3600  # content hashes of younger files are not kept
    for label in range(classes):
        folder = images / f"n{label:08d}"
        folder.mkdir(parents=True)
        for i in range(count // classes + (label < count % classes)):
            path = folder / f"n{label:08d}_{i}.png"
            if i < DIFFERENT:
                path.write_bytes(blobs[i])
                os.utime(path, (old, old))
            else:
                os.link(folder / f"n{label:08d}_{i % DIFFERENT}.png", path)


def measured(folder: Path, overrides: list[str], until: str) -> list[dict[str, Any]]:
    """Seconds and memory of each step in this process."""
    import numpy  # noqa: F401
    import torch  # noqa: F401

    base = highest_bytes()
    steps: list[dict[str, Any]] = []

    def step(name: str, work: Callable[[], Any]) -> Any:
        began, worked = time.perf_counter(), time.process_time()
        result = work()
        spent = {"seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - worked}
        steps.append({"step": name, **spent, "mebibytes": (highest_bytes() - base) / 2**20})
        return result

    from fewer.recipe.parse import parse_recipe
    from fewer.session.build import make_plan, open_data, open_session
    from fewer.training.loop import train

    content = {
        "data": {"source": f"folder:{folder}"},
        "model": {"name": "lenet5", "width": 0.5},
        "train": {"epochs": 1, "batch_size": 256},
    }
    recipe = parse_recipe(content, overrides)
    splits = step("listing and splits", lambda: open_data(recipe))
    packed = step("manifest (content hashes)", lambda: splits.manifest().packed())
    steps[-1]["bytes"] = len(packed)
    step("fingerprint", lambda: splits.fingerprint)
    step("plan", lambda: make_plan(recipe, splits))
    if until == "batch":
        session = step("session", lambda: open_session(recipe, splits))
        step("order and first step", lambda: next(iter(train(session.task, session.train_data, session.run))))
        session.close()
    return steps


def highest_bytes() -> int:
    """The highest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def show(name: str, steps: list[dict[str, Any]]) -> None:
    print(f"{name} cache")
    for each in steps:
        spent = f"{each['seconds']:8.2f} s ({each['processor_seconds']:.2f} s of processor)"
        print(f"  {each['step']:28} {spent:40} {each['mebibytes']:6.0f} MiB at most so far")
    total, worked = (sum(each[key] for each in steps) for key in ("seconds", "processor_seconds"))
    print(f"  {'all':28} {total:8.2f} s ({worked:.2f} s of processor)")


if __name__ == "__main__":
    main()
