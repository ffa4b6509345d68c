"""`fewer data`: every kind of broken or odd file is found, its severity is what training does, figures are right."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import struct
import tarfile
import zlib
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fewer.core.errors import DataError
from fewer.data.decode.decode import PIXELS_MAX, Damaged, decode
from fewer.data.sources import open_source
from fewer.inspection.check import check
from fewer.inspection.findings import KINDS, Finding
from fewer.inspection.inventory import Inventory, Part, inventory_of, named
from fewer.inspection.pool import probed
from fewer.inspection.probe import ImageFacts, probe
from fewer.inspection.scan import scan
from fewer.inspection.statistics_page import statistics_page
from fewer.inspection.stats import as_text, statistics
from server import Ended, Server

SIDE = 24
Files = dict[str, bytes]


def picture(seed: int, width: int = SIDE, height: int = SIDE, mode: str = "RGB") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.frombytes(mode, (width, height), values.tobytes())


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bare_png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(20, SIDE, SIDE * 2), "JPEG", exif=exif)


def frames(format: str) -> bytes:
    return encoded(picture(21), format, save_all=True, append_images=[picture(22), picture(23)])


def deep_tiff() -> bytes:
    values = np.random.default_rng(24).integers(0, 65536, (SIDE, SIDE)).astype(np.uint16)
    return encoded(Image.fromarray(values), "TIFF")


def damaged_files() -> dict[str, tuple[str, bytes]]:
    """Code and contents of files that cannot be decoded."""
    return {
        "cut.jpg": ("truncated", encoded(picture(1), "JPEG")[:-200]),
        "cut.png": ("truncated", encoded(picture(2))[:-300]),
        "cut.gif": ("truncated", encoded(picture(3), "GIF")[:-200]),
        "empty.png": ("empty-file", b""),
        "text.png": ("not-an-image", b"this is no image at all\n" * 9),
        "bomb.png": ("decompression-bomb", bare_png(60_000, 60_000, 8, 2, b"")),
        "just-too-many.png": ("decompression-bomb", bare_png(10_001, PIXELS_MAX // 10_000, 8, 2, b"")),
        "float.tif": ("undecodable", encoded(Image.new("F", (SIDE, SIDE), 0.5), "TIFF")),
    }


def odd_files() -> dict[str, tuple[set[str], bytes]]:
    """Codes and contents of files that decode all the same."""
    sixteen = bare_png(SIDE, SIDE, 16, 2, (b"\0" + os.urandom(6 * SIDE)) * SIDE)
    return {
        "cmyk.jpg": ({"cmyk"}, encoded(picture(30, mode="CMYK"), "JPEG")),
        "grey.png": ({"not-rgb"}, encoded(picture(31, mode="L"))),
        "palette.png": ({"not-rgb"}, encoded(picture(32).quantize(16))),
        "alpha.png": ({"not-rgb"}, encoded(picture(33, mode="RGBA"))),
        "deep.png": ({"16-bit"}, sixteen),
        "deep.tif": ({"16-bit", "not-rgb"}, deep_tiff()),
        "animated.webp": ({"animated"}, frames("WEBP")),
        "pages.tif": ({"animated"}, frames("TIFF")),
        "1x1.png": ({"tiny"}, encoded(picture(34, 1, 1))),
        "turned.jpg": ({"exif-rotated"}, turned()),
        "long.png": ({"extreme-aspect"}, encoded(picture(35, 10 * SIDE, SIDE))),
        "really-jpeg.png": ({"wrong-suffix"}, encoded(picture(36), "JPEG")),
        "bell\x07.png": ({"odd-name"}, encoded(picture(37))),
    }


def written(root: Path, files: Files) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def plain(split: str, first: int, each: int = 3) -> Files:
    return {
        f"{split}/{label}/{i}.png": encoded(picture(first + 100 * at + i))
        for at, label in enumerate(("cat", "dog"))
        for i in range(each)
    }


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train and test that has one of everything."""
    files = plain("train", 1000) | plain("test", 2000)
    files |= {f"train/cat/{name}": raw for name, (_, raw) in damaged_files().items()}
    files |= {f"train/dog/{name}": raw for name, (_, raw) in odd_files().items()}
    same = picture(50)
    files |= {
        "train/cat/twin.png": encoded(same),
        "train/cat/twin-again.png": encoded(same, compress_level=1),
        "train/dog/twin.png": encoded(same),
        "test/cat/leak.png": encoded(same),
        "train/lone/only.png": encoded(picture(51)),
    }
    return written(tmp_path_factory.mktemp("zoo"), files)


@pytest.fixture(scope="session")
def checked(server: Server, zoo: Path) -> Ended:
    return server.run("data", "check", f"folder:{zoo}", "--json", "--processes", "2", cwd=zoo)


@pytest.fixture(scope="session")
def codes(checked: Ended) -> dict[str, set[str]]:
    """Codes by path."""
    found: dict[str, set[str]] = {}
    for finding in checked.json["findings"]:
        found.setdefault(finding["path"], set()).add(finding["code"])
    return found


def findings(text: str) -> list[Finding]:
    inventory = inventory_of(text)
    return check(inventory, scan(inventory, processes=0))


# --- check -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", damaged_files())
def test_a_damaged_file_is_found(codes: dict[str, set[str]], name: str) -> None:
    assert codes[f"train/cat/{name}"] == {damaged_files()[name][0]}


@pytest.mark.parametrize("name", odd_files())
def test_an_odd_file_is_found(codes: dict[str, set[str]], name: str) -> None:
    assert codes[f"train/dog/{name.replace(chr(7), chr(92) + 'x07')}"] == odd_files()[name][0]


def test_twins_and_lone_classes_are_found_and_nothing_else(codes: dict[str, set[str]]) -> None:
    assert codes["test/cat/leak.png"] == {"identical-across-splits"}
    assert codes["train/cat/twin.png"] == {"identical-within-split"}
    assert "train/cat/twin-again.png" not in codes, "the first of its kind"
    assert codes["train/dog/twin.png"] == {"identical-within-split", "identical-other-label"}
    assert codes["lone"] == {"single-image-class", "class-not-in-test"}
    sound = [path for path in codes if path.endswith(("/0.png", "/1.png", "/2.png"))]
    assert sound == []


def test_the_document_is_stable(checked: Ended) -> None:
    assert checked.code == 3
    assert checked.stderr == ""
    document = checked.json
    assert document.keys() == {"schema", "source", "images", "counts", "notes", "findings"}
    assert document["schema"] == 1
    assert document["images"] == {"train": 6 + len(damaged_files()) + len(odd_files()) + 4, "test": 7}
    for finding in document["findings"]:
        assert finding.keys() == {"code", "split", "path", "reason", "source", "severity", "effect", "fix"}
        assert all(value.isprintable() for value in finding.values())
        assert (finding["severity"], finding["effect"]) == (
            KINDS[finding["code"]].severity,
            KINDS[finding["code"]].effect,
        )
    tally = Counter(finding["severity"] for finding in document["findings"])
    assert document["counts"] == {level: tally[level] for level in ("error", "warning", "info")}


def test_people_see_groups_and_how_many_more(server: Server, tmp_path: Path) -> None:
    many = {f"{label}/{i}.png": encoded(picture(i + 100 * ord(label), mode="L")) for label in "ab" for i in range(6)}
    root = written(tmp_path / "grey", many)
    short = server.run("data", "check", "grey", "--processes", "0", cwd=tmp_path)
    assert short.code == 0, "infos alone are no reason to fail"
    assert "taken as folder:grey" in short.stderr
    assert "12 grey, palette or transparent" in short.stdout
    assert "... and 7 more" in short.stdout
    whole = server.run("data", "check", f"folder:{root}", "--all", "--processes", "0", cwd=tmp_path)
    assert whole.stdout.count(".png: grey") == 12
    missing = server.run("data", "check", "folder:none", cwd=tmp_path)
    assert missing.code == 3
    assert "does not exist" in missing.stderr


@pytest.mark.parametrize(("policy", "code"), [("error", 3), ("quarantine", 0)])
def test_training_agrees_with_the_severity(server: Server, zoo: Path, tmp_path: Path, policy: str, code: int) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'[data]\nsource = "folder:{zoo}"\nval = "none"\ndamaged = "{policy}"\n'
        '[model]\nname = "lenet5"\nwidth = 0.1\n[train]\nepochs = 1\nbatch_size = 16\nlr = 0.001\n'
    )
    ended = server.run("train", recipe, "--out", tmp_path / "out", "--json", cwd=tmp_path)
    assert ended.code == code, ended.stderr
    if policy == "error":
        assert f"{len(damaged_files())} of" in ended.stderr
        assert all(f"train/cat/{name}" in ended.stderr for name in damaged_files())
    else:
        assert ended.json["quarantined"] == len(damaged_files())


def test_each_file_alone_is_judged_as_the_decoder_judges_it() -> None:
    for code, raw in damaged_files().values():
        assert (KINDS[code].severity, KINDS[code].effect) == ("error", "damaged")
        with pytest.raises(Damaged):
            decode(raw, 32)
    for names, raw in odd_files().values():
        assert all(KINDS[code].effect == "trains" for code in names)
        assert decode(raw, 32).shape == (32, 32, 3)


def test_random_bytes_are_judged_as_the_decoder_judges_them() -> None:
    draw = random.Random(0)
    sound = [raw for _, raw in odd_files().values()]
    broken = 0
    for _ in range(300):
        raw = bytearray(draw.choice(sound))
        for _ in range(draw.randint(1, 6)):
            raw[draw.randrange(len(raw))] = draw.randrange(256)
        facts = probe(bytes(raw))
        try:
            decode(bytes(raw), 64)  # no JPEG of these is decoded at a fraction
            damaged = False
        except Damaged:
            damaged = True
        assert bool(facts.code) == damaged
        broken += damaged
    assert 0 < broken < 300


def test_all_that_is_wrong_with_a_layout_is_listed(tmp_path: Path) -> None:
    root = written(tmp_path / "f", {f"{label}/{i}.png": encoded(picture(i)) for label in "ab" for i in range(2)})
    written(root, {"stray.png": encoded(picture(9)), "a/deeper/x.png": encoded(picture(8)), "c/x.txt": b""})
    (root / "d").mkdir()
    os.mkfifo(root / "b" / "pipe.png")
    (root / "b" / "nowhere.png").symlink_to(root / "gone.png")
    (root / "b" / "self.png").symlink_to(root / "b" / "self.png")
    (root / "loop").mkdir()
    (root / "loop" / "up").symlink_to(root)
    with pytest.raises(DataError):
        open_source(f"folder:{root}")
    found = {(f.code, f.path) for f in findings(f"folder:{root}") if f.kind.effect == "stops"}
    assert found >= {
        ("outside-class-folder", "stray.png"),
        ("outside-class-folder", "a/0.png"),
        ("empty-class", "c"),
        ("empty-class", "d"),
        ("not-a-file", "b/pipe.png"),
        ("not-a-file", "b/nowhere.png"),
        ("not-a-file", "b/self.png"),
        ("link-loop", "loop/up"),
    }


def test_a_tar_gives_the_same_findings(zoo: Path, checked: Ended, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "zoo.tar", "w") as out:
        out.add(zoo, arcname=".")
    one = {(f["code"], f["path"]) for f in checked.json["findings"]}
    assert {(f.code, f.as_json()["path"]) for f in findings(f"tar:{tmp_path / 'zoo.tar'}")} == one
    with tarfile.open(tmp_path / "empty.tar", "w") as out:
        out.add(written(tmp_path / "e", plain("x", 0)) / "x", arcname="x")
        folder = tarfile.TarInfo("x/nothing")
        folder.type = tarfile.DIRTYPE
        out.addfile(folder)
    assert [(f.code, f.path) for f in findings(f"tar:{tmp_path / 'empty.tar'}")] == [("empty-class", "x/nothing")]


def test_files_that_vanish_or_may_not_be_read() -> None:
    def refuse(at: int) -> bytes:
        raise PermissionError(13, "Permission denied") if at else FileNotFoundError(2, "No such file or directory")

    inventory = Inventory([Part("all", "s", ["a/0.png", "b/1.png"], ["a", "b"], [1, 1], refuse)])
    found = [f for f in check(inventory, scan(inventory, processes=1)) if f.code == "unreadable"]
    assert [f.reason for f in found] == ["No such file or directory", "Permission denied"]


def dies(raw: bytes) -> ImageFacts:
    """Stands in for a decoder with a memory error."""
    if raw == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    return ImageFacts(reason=raw.decode())


def test_a_file_that_kills_the_decoder_is_a_finding_and_no_other_is_lost() -> None:
    raws = [b"die" if i in (70, 131) else str(i).encode() for i in range(200)]
    facts = list(probed([partial(bytes, raw) for raw in raws], 2, dies))
    assert [i for i, each in enumerate(facts) if each.code == "crash"] == [70, 131]
    assert all(each.code or each.reason == str(i) for i, each in enumerate(facts))


def test_a_recipe_is_looked_at_as_it_would_train(tmp_path: Path) -> None:
    written(tmp_path / "train", {f"{c}/{i}.png": encoded(picture(i + 100 * ord(c))) for c in "pq" for i in range(10)})
    written(tmp_path / "test", {"p/0.png": encoded(picture(100 * ord("p"))), "q/0.png": encoded(picture(7))})
    recipe = tmp_path / "r.toml"
    recipe.write_text('[data]\nsource = "folder:train"\ntest = "folder:test"\nval = "20%"\n[model]\nname = "lenet5"\n')
    inventory = inventory_of(str(recipe))
    assert {part.split: len(part) for part in inventory.parts} == {"train": 16, "val": 4, "test": 2}
    leaks = [f for f in check(inventory, scan(inventory, processes=0)) if f.kind.effect == "leaks"]
    assert [(f.split, f.path) for f in leaks] == [("test", "p/0.png")]
    written(tmp_path / "test", {"r/0.png": encoded(picture(5))})
    found = [f for f in findings(str(recipe)) if f.kind.effect == "stops"]
    assert [(f.code, f.path) for f in found] == [("class-only-in-test", "r")]


def test_bare_paths(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"")
    assert named(str(tmp_path))[0] == f"folder:{tmp_path}"
    assert named(str(tmp_path / "x.tar"))[0] == f"tar:{tmp_path / 'x.tar'}"
    assert named("digits") == ("digits", "")


# --- stats -------------------------------------------------------------------------------------------------------


def test_figures_are_numpys(tmp_path: Path) -> None:
    shapes = [(30, 20), (20, 20), (64, 16), (40, 50), (33, 47)]
    images = {f"{'ab'[i % 2]}/{i}.png": picture(i, *shape) for i, shape in enumerate(shapes)}
    root = written(tmp_path / "f", {name: encoded(image) for name, image in images.items()})
    inventory = inventory_of(f"folder:{root}")
    figures = statistics("x", inventory, scan(inventory, processes=0))
    assert json.loads(json.dumps(figures)) == figures
    of = figures["splits"]["all"]
    pixels = np.concatenate([np.asarray(image).reshape(-1, 3) for image in images.values()]) / 255
    np.testing.assert_allclose(of["mean"], pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(of["std"], pixels.std(0), rtol=1e-9)
    short = np.array([min(shape) for shape in shapes])
    spread = of["measures"]["short_side_px"]
    assert (spread["min"], spread["median"], spread["max"]) == (short.min(), np.median(short), short.max())
    assert spread["p95"] == pytest.approx(np.percentile(short, 95))
    assert sum(spread["histogram"]["counts"]) == len(shapes)
    assert of["measures"]["aspect"]["max"] == 4.0
    assert figures["classes"][0] == {"name": "a", "images": 3, "splits": {"all": 3}}
    assert of["imbalance"] == 1.5
    assert of["bytes"] == sum(file.stat().st_size for file in root.rglob("*.png"))
    assert any("imbalance     1.5" in line for line in as_text(figures))


def test_moments_are_trainings() -> None:
    from fewer.data.images import ImageData
    from fewer.data.listing.splits import open_splits

    inventory = inventory_of("digits")
    of = statistics("digits", inventory, scan(inventory, processes=0))["splits"]["all"]
    mean, std = ImageData(open_splits("digits", "none", "none").train).moments(8)
    assert of["mean"] == pytest.approx(mean, rel=1e-12)
    assert of["std"] == pytest.approx(std, rel=1e-9)


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202eevil",
    "🐈‍⬛",
    "nul\x01\x1b[31m",
    "&amp;",
]


def invented(labels: list[str]) -> tuple[Inventory, list[list[ImageFacts]]]:
    raw = encoded(picture(3))
    part = Part(
        "all", HOSTILE[0], [f"{label}/x.png" for label in labels], labels, [len(raw)] * len(labels), lambda _: raw
    )
    facts = probe(raw)
    return Inventory([part], notes=list(HOSTILE)), [[replace(facts, width_px=8 + i % 50) for i in range(len(labels))]]


def test_the_page_escapes_whatever_names_hold() -> None:
    inventory, facts_of = invented(HOSTILE)
    drawn = statistics_page(statistics(HOSTILE[0], inventory, facts_of), inventory)
    assert "<script" not in drawn
    assert "<img src=x" not in drawn
    assert "\x1b" not in drawn
    assert "&lt;script&gt;alert(1)" in drawn
    assert "\u202e" not in drawn
    assert "evil</bdi>" in drawn
    assert "&amp;amp;" in drawn
    assert drawn.count("data:image/jpeg;base64,") == len(HOSTILE)


def test_ten_thousand_classes_make_a_page_below_two_megabytes() -> None:
    inventory, facts_of = invented([f"🐈 class <b>{i}</b> " + "long " * 30 for i in range(10_000)])
    drawn = statistics_page(statistics("many", inventory, facts_of), inventory)
    assert len(drawn.encode()) < 2_000_000
    assert "10,000 classes" in drawn
    assert drawn.count("data:image/jpeg;base64,") <= 192


def test_the_page_holds_no_byte_of_a_file(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    root = written(tmp_path / "f", {"a/0.jpg": encoded(picture(1), "JPEG", exif=exif), "b/0.jpg": b"broken"})
    inventory = inventory_of(f"folder:{root}")
    drawn = statistics_page(statistics("x", inventory, scan(inventory, processes=0)), inventory)
    thumbs = [text.partition('"')[0] for text in drawn.split("data:image/jpeg;base64,")[1:]]
    assert len(thumbs) == 1, "what does not decode has no thumbnail"
    import base64

    assert b"taken at home" not in base64.b64decode(thumbs[0])
    assert "cannot be decoded" in drawn


def test_stats_writes_json_and_page(server: Server, tmp_path: Path) -> None:
    written(tmp_path / "p", {f"{c}/{i}.png": encoded(picture(i + ord(c))) for c in "ab" for i in range(2)})
    ended = server.run("data", "stats", "p", "--json", "--html", "page.html", "--processes", "0", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert ended.json["splits"]["all"]["images"] == 4
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_inspection_needs_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, fewer.cli; assert not {'torch', 'numpy', 'rich'} & set(sys.modules)\n"
        "import fewer.inspection.check, fewer.inspection.statistics_page\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
