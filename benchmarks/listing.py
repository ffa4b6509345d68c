"""Seconds and memory from start to first batch for a folder of 1.28 million small images (hard links of a few).

python benchmarks/listing.py [--folder DIR] [--images 1280000] [--classes 1000] [--recipe "key=value" ...]

The folder is made, the cache of content hashes is warmed once, and a fresh process is measured; the folder is removed
in the end. Memory is the highest resident set above that of a process that has imported torch and numpy.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import keep

DIFFERENT = 8  # contents that are linked again and again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to make the images; a temporary folder if left out")
    parser.add_argument("--images", type=int, default=1_280_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--recipe", nargs="*", default=[], help="further keys of the recipe, such as data.in_memory=no")
    parser.add_argument("--until", choices=("plan", "batch"), default="batch")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(arguments.measure, arguments.recipe, arguments.until)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as room:
        root = Path(room)
        began = time.perf_counter()
        make(root / "images", root / "contents", arguments.images, arguments.classes)
        print(
            f"{arguments.images:,} images in {arguments.classes:,} folders made in {time.perf_counter() - began:.0f} s"
        )
        command = [sys.executable, __file__, "--measure", str(root / "images"), "--recipe", *arguments.recipe]
        environment = {**os.environ, "XDG_CACHE_HOME": str(root / "cache")}
        for name, until in (("cold", "plan"), ("warm", arguments.until)):
            run = subprocess.run(
                [*command, "--until", until], env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            steps = json.loads(run.stdout)
            show(name, steps)
            keep("listing", cache=name, images=arguments.images, classes=arguments.classes, steps=steps)


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
