"""`fewer data bench` on the command line."""

from __future__ import annotations

import csv
from pathlib import Path

from image_files import write_photo
from server import Server, complains

RECIPE = """\
data = { source = "folder:photos", test = "none", val = "none", in_memory = "no", processes = 1 }
augment.crop = "random_resized"
model = { name = "lenet5", width = 0.1 }
train.batch_size = 8
select = { method = "dbpd", threshold = 0.3 }
stages = [{ epochs = 1, side_px = 16 }, { epochs = 2, side_px = 24, lr_scale = 0.5 }, { epochs = 1, side_px = 24 }]
"""


def test_every_stage_is_timed_and_a_change_is_checked(server: Server, tmp_path: Path) -> None:
    for number in range(24):
        write_photo(tmp_path / "photos" / "ab"[number % 2] / f"{number}.jpg", 90, 70)
    (tmp_path / "r.toml").write_text(RECIPE)
    options = ("--seconds", "0.1", "--out", "bench", "--json", "--check")
    ended = server.run("data", "bench", "r.toml", *options, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    told = ended.json
    assert [(each["stage"], each["side_px"], each["batch_size"]) for each in told["stages"]] == [
        (1, 16, 8), (2, 24, 8), (3, 24, 8),
    ]  # fmt: skip
    assert all(each["images_per_second"] > 0 and 0 <= each["waiting"] <= 1 for each in told["stages"])
    assert all(min(each["milliseconds"][part] for part in ("decode", "step")) > 0 for each in told["stages"])
    assert told["stages"][1]["milliseconds"] == told["stages"][2]["milliseconds"], "stages alike are timed once"
    assert {change["name"] for change in told["changes"]} >= {"processes", "memory", "store"}
    assert (told["best"] is None) == (told["checked"] is None)
    with open(tmp_path / "bench" / "data-bench.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["part"] for row in rows[:5]] == ["decode", "copy", "augment", "collate", "step"]
    assert len(rows) == 15
    assert (tmp_path / "bench" / "data-bench.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "r.toml", "bench"}, "no run is left behind"


def test_a_source_will_do_and_people_see_a_table(server: Server, tmp_path: Path) -> None:
    shown = server.run("data", "bench", "digits", "model.width=0.1", "--seconds", "0.1", "--out", "b", cwd=tmp_path)
    assert shown.code == 0, shown.stderr
    assert "decode     copy  augment  collate     step  images/s  waits  limit" in shown.stdout
    assert "b: data-bench.json, data-bench.csv, data-bench.png" in shown.stdout


def test_wrong_calls_say_what_is_right(server: Server, tmp_path: Path) -> None:
    complains(server.run("data", "bench", "nothing", cwd=tmp_path), 2, "nothing: no such file or folder")
    complains(server.run("data", "bench", "digits", "--seconds", "0", cwd=tmp_path), 2, "--seconds")
