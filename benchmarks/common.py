"""The command line, the evidence file and the made-up photos that all benchmark scripts share."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line whose help is the script's docstring."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def parsed(parser: argparse.ArgumentParser, *tiny: str) -> argparse.Namespace:
    """The arguments of this call; `--smoke` puts the arguments `tiny` before them."""
    parser.add_argument(
        "--smoke", action="store_true", help="a tiny setting, in seconds; results are printed, not kept"
    )
    given = sys.argv[1:]
    return parser.parse_args([*tiny, *given] if "--smoke" in given else given)


class Results:
    """The lines of evidence in results/NAME.jsonl; a smoke run prints its lines and forgets them.

    Attributes:
        lines: All lines so far, those of earlier calls included; a smoke run knows of none.
        name, smoke: As given.
    """

    def __init__(self, name: str, smoke: bool) -> None:
        self.name, self.smoke = name, smoke
        self._file = None if smoke else RESULTS / f"{name}.jsonl"
        kept = self._file.read_text(encoding="utf-8") if self._file and self._file.exists() else ""
        self.lines: list[dict[str, Any]] = [json.loads(text) for text in kept.splitlines()]

    def keep(self, **line: Any) -> dict[str, Any]:
        """Appends one line and returns it; the machine is added unless the line names an `environment`."""
        line = line if "environment" in line else {**line, "machine": machine()}
        text = json.dumps(line)
        self.lines.append(line)
        if self._file is None:
            print(f"smoke: {text}")
        else:
            self._file.parent.mkdir(exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
        return line


def machine() -> dict[str, Any]:
    """Processor, cores and versions; needs no torch."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return {
        "processor": names[0] if names else platform.processor(),
        # What decides how fast it is, and whether precision = "auto" is bf16.
        "vectors": next((name for name in ("avx512_bf16", "avx512f", "avx2") if name in flags), "?"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "date": datetime.now(UTC).date().isoformat(),
    }


def summary(values: list[float]) -> dict[str, float]:
    """Median and spread."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values), "n": len(values)}


def ran(*arguments: object, env: Mapping[str, str] | None = None) -> str:
    """What a new Python process with these arguments prints; stops the script if it fails."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env={**os.environ, **(env or {})})
    return done.stdout


@contextmanager
def shapes(images: int, side_px: int) -> Iterator[Path]:
    """A temporary folder with pictures of white rectangles: `boxes` of Pascal VOC, and `masks` beside pictures."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="fewer-shapes-") as place:
        boxes, masks = Path(place, "boxes"), Path(place, "masks")
        for folder in ("boxes/JPEGImages", "boxes/Annotations", "masks/images", "masks/masks"):
            Path(place, folder).mkdir(parents=True)
        (masks / "classes.txt").write_text("ground\nshape\n")
        for number in range(images):
            left, top = (int(each) for each in random.integers(0, side_px // 2, 2))
            right, bottom = left + side_px // 2, top + side_px // 3
            ids = np.zeros((side_px, side_px), np.uint8)
            ids[top:bottom, left:right] = 1
            picture = Image.fromarray(np.repeat((40 + 200 * ids)[..., None].astype(np.uint8), 3, axis=2))
            picture.save(boxes / "JPEGImages" / f"{number}.jpg")
            picture.save(masks / "images" / f"{number}.png")
            Image.fromarray(ids).save(masks / "masks" / f"{number}.png")
            box = f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
            object = f"<object><name>{'ab'[number % 2]}</name><bndbox>{box}</bndbox></object>"
            text = f"<annotation><filename>{number}.jpg</filename>{object}</annotation>"
            (boxes / "Annotations" / f"{number}.xml").write_text(text)
        yield Path(place)


@contextmanager
def photos(classes: int, each: int, side_px: int, suffix: str = ".png") -> Iterator[Path]:
    """A temporary folder with one folder of random square photos for every class."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="fewer-photos-") as place:
        for label in range(classes):
            folder = Path(place) / f"class{label}"
            folder.mkdir()
            for number in range(each):
                pixels = random.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:05d}{suffix}")
        yield Path(place)
