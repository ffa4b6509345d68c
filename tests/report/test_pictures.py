"""Pictures of a report: embedded as far as there is room, and only if they are the run's own JPEGs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fewer.report.load import Folder, load
from fewer.report.pictures import FRAME_BYTES, SHEET_BYTES, SUSPECTS, previews, suspects, worst
from fewer.report.sections.tasks import part_of

JPEG = b"\xff\xd8\xff" + bytes(300)  # 303 bytes: 404 characters in base64
ROOM = 10**6
VERDICT = part_of("classify").verdict


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "previews" / "worst").mkdir(parents=True)
    return tmp_path


def with_worst(run: Path, **samples: Any) -> Folder:
    tables = {
        "test/worst": [f"{name}.png" for name in samples],
        "test/worst_samples": list(samples.values()),
    }
    (run / "result.json").write_text(json.dumps({"tables": tables}))
    (run / "plan.json").write_text(json.dumps({"classes": ["cat", "dog"]}))
    return load(run)


def test_sheets_come_in_order_and_the_rest_is_counted(run: Path) -> None:
    for stage in range(1, 7):
        (run / "previews" / f"stage-{stage}.jpg").write_bytes(JPEG)
    html = previews(load(run), ROOM)
    assert [f"Stage {i}" in html for i in range(1, 7)] == [True] * 4 + [False] * 2
    assert "2 more in the folder previews." in html
    little = previews(load(run), FRAME_BYTES + 800)
    assert little.count("data:image/jpeg") == 1
    assert "5 more in the folder previews." in little
    none = previews(load(run), 0)
    assert "6 in the folder previews." in none


@pytest.mark.parametrize("content", [b"<svg onload=alert(1)>", b"\x89PNG", b"", JPEG + bytes(SHEET_BYTES)])
def test_other_content_and_large_files_are_not_embedded(run: Path, content: bytes) -> None:
    (run / "previews" / "stage-1.jpg").write_bytes(content)
    assert previews(load(run), ROOM) == ""


def test_no_link_is_followed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.jpg"
    outside.write_bytes(JPEG)
    (run / "previews" / "stage-1.jpg").symlink_to(outside)
    assert previews(load(run), ROOM) == ""


@pytest.mark.parametrize("path", ["previews/worst/../../secret.jpg", "/etc/passwd", "previews/worst/x.png", 7, None])
def test_a_thumbnail_elsewhere_is_not_read(run: Path, path: object) -> None:
    (run / "secret.jpg").write_bytes(JPEG)
    assert worst(with_worst(run, a={"true": 0, "predicted": 1, "thumbnail": path}), ROOM, VERDICT) == ""


def test_the_worst_samples_say_what_the_model_took_them_for(run: Path) -> None:
    for name in "ab":
        (run / "previews" / "worst" / f"{name}.jpg").write_bytes(JPEG)
    folder = with_worst(
        run,
        a={"true": 0, "predicted": 1, "probability": 0.75, "thumbnail": "previews/worst/a.jpg"},
        b={"true": 1, "predicted": 1, "thumbnail": "previews/worst/b.jpg"},
    )
    html = worst(folder, ROOM, VERDICT)
    assert "<bdi>cat</bdi> → <bdi>dog</bdi> (75.0\xa0%)" in html
    assert "<bdi>dog</bdi>, rightly" in html
    assert html.index("a.png") < html.index("b.png")


def test_suspects_are_shown_with_label_and_prediction_and_nothing_they_say_is_run(run: Path) -> None:
    (run / "previews" / "suspects").mkdir()
    (run / "previews" / "suspects" / "001.jpg").write_bytes(JPEG)
    hostile = "<script>alert(1)</script>"
    first = {"name": f"cat/{hostile}.png", "label": "cat", "predicted": "dog   97.2%"}
    first["thumbnail"] = "previews/suspects/001.jpg"
    others = [{**first, "label": hostile}, {**first, "thumbnail": "../secret.jpg"}, {"label": 3}, None, "x"]
    (run / "result.json").write_text(json.dumps({"tables": {"suspects": [first, *others]}, "suspected_labels": 1234}))
    html = suspects(load(run), ROOM)
    assert html.count("<figure>") == 2, "those that have a picture of the run's own"
    assert "cat</bdi> → <bdi>dog 97.2%</bdi>" in html
    assert "2 of 1,234 training images" in html
    assert "<script" not in html
    (run / "result.json").write_text(json.dumps({"tables": {"suspects": [first] * 100}}))
    assert suspects(load(run), ROOM).count("<figure>") == SUSPECTS
    assert suspects(load(run), FRAME_BYTES + 800).count("<figure>") == 1
    (run / "result.json").write_text("{}")
    assert suspects(load(run), ROOM) == ""


def test_suspected_boxes_are_shown_whole_with_what_is_wrong(run: Path) -> None:
    (run / "previews" / "suspects").mkdir()
    (run / "previews" / "suspects" / "001.jpg").write_bytes(JPEG)
    found = {"name": "a.png", "kind": "missing box", "label": "", "predicted": "<b>bee 93%"}
    found["thumbnail"] = "previews/suspects/001.jpg"
    doubtful = {**found, "kind": "doubtful box", "label": "fly", "predicted": ""}
    (run / "result.json").write_text(json.dumps({"tables": {"suspects": [found, doubtful]}, "suspected_labels": 99}))
    html = suspects(load(run), ROOM, is_whole=True)
    assert 'class="worst whole"' in html
    assert "missing box: <bdi>nothing</bdi> → <bdi>&lt;b&gt;bee 93%</bdi>" in html
    assert "doubtful box: <bdi>fly</bdi> → <bdi>nothing</bdi>" in html
    assert "2 of 99 annotations that look wrong" in html
