"""Page of a run: complete, harmless, small, and there for every folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewer import report
from run_folders import DIGITS, Json, Reader, build, check_harmless, plan_document, result_document


def test_page_is_complete_and_harmless(done_html: str) -> None:
    reader = check_harmless(done_html)
    for expected in ("digits-dbpd", "Done", "1.97 M parameters", "8,340", "16.3 k", "7.44 TFLOP", "512 MB", "within",
                     "5.1 – 7.4", "data wait", "8x8 grey images are enlarged", "resumed after 4.0 epochs",
                     "2 images could not be read", "3.11.2", 'source = "digits"', "24 px", "Full-epoch equivalents",
                     "after epoch 9", "dbpd (score stale, threshold 0.3)", "kept share", "3/<i>7.png"):  # fmt: skip
        assert expected in reader.text, expected
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in done_html
    assert len(done_html.encode()) < 400_000


def test_empty_folder(tmp_path: Path) -> None:
    text = check_harmless(report.render(tmp_path)).text
    assert "Empty" in text
    assert "Nothing has been recorded" in text


@pytest.mark.parametrize("name", ["plan.json", "rows.jsonl", "status.json", "result.json", "env.json"])
@pytest.mark.parametrize(
    "damage", ["", "{", "[1, 2]", "\x00\xff\xfe", "null", "[" * 100_000, '{"epochs": 1' + "0" * 5000 + "}"]
)
def test_damaged_file_is_named_or_ignored(tmp_path: Path, name: str, damage: str) -> None:
    folder = build(tmp_path / "run", epochs=1, steps=1)
    for other in ("plan.json", "rows.jsonl", "result.json"):
        if other != name:
            (folder / other).unlink()  # no plots: this is about reading
    (folder / name).write_bytes(damage.encode("latin-1"))
    text = check_harmless(report.render(folder)).text
    if name == "rows.jsonl":
        assert "Unfinished" in text or "Done" in text
    else:
        assert f"{name} could not be read" in text


@pytest.mark.parametrize("name", ["plan.json", "rows.jsonl", "result.json"])
def test_any_file_may_be_missing(tmp_path: Path, name: str) -> None:
    folder = build(tmp_path / "run", epochs=2, steps=2)
    (folder / name).unlink()
    check_harmless(report.render(folder))


ODD = ["<script>alert(1)</script>", "a&b", "\"'>", "🦆", "\u202egnp", "\x00\x1b[31m", "\ud800", "",
       "$\\frac{1}{0}$", "]]>"]  # fmt: skip


def test_odd_class_names(tmp_path: Path) -> None:
    html = report.render(build(tmp_path / "run <img src=x onerror=alert(1)>", epochs=2, steps=2, classes=ODD))
    text = check_harmless(html).text
    assert html.encode("utf-8")
    for name in ("<script>alert(1)</script>", "a&b", "\"'>", "🦆", "$\\frac{1}{0}$", "]]>"):
        assert name[:13] in text


# Few characters, all of them trouble; the whole of Unicode would cost a fresh checkout five seconds of tables.
Word = st.text(st.sampled_from("<>&\"'/=$\\ \n\0\x1b\u202e\ud800\uffff🦆éa1script"), max_size=30)

Document = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | Word,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(Word, inner, max_size=4),
    max_leaves=8,
)

RESULT = ("metrics", "best", "ledger", "predicted", "tables", "epochs", "quarantined", "digest")

PLAN = ("classes", "stages", "notes", "select", "model", "predicted", "epochs", "train_images", "precision", "digest")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(PLAN), Document), st.dictionaries(st.sampled_from(RESULT), Document), Word)
def test_whatever_the_documents_hold(
    tmp_path_factory: pytest.TempPathFactory, plan: Json, result: Json, word: str
) -> None:
    folder = tmp_path_factory.mktemp("run")
    tables = {"test/confusion": [[1, 2], [3, 4]], "test/per_class_accuracy": [0.3, word]}
    result.setdefault("tables", tables)
    plan.setdefault("classes", [word, f"<script>{word}"])
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "status.json").write_text(json.dumps({"state": word, "message": word}))
    (folder / "env.json").write_text(json.dumps({word: word}))
    html = report.render(folder)
    assert "could not be drawn" not in html
    assert "<script" not in html.lower()
    Reader(html.encode("utf-8").decode("utf-8"))


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.fixed_dictionaries(
            {"kind": st.sampled_from(["step", "epoch", "evaluation", "resume", "checkpoint", "amendment", "x"])},
            optional={
                key: st.integers(-2, 5) | st.floats() | st.just("?") | st.none()
                for key in ("epoch", "step", "progress", "lr", "loss", "top1", "kept_share", "seconds", "fee",
                            "scalars", "split", "series", "path", "key", "kept", "candidates")
            },
        ),
        max_size=12,
    )
)  # fmt: skip
def test_whatever_the_rows_hold(tmp_path_factory: pytest.TempPathFactory, rows: list[Json]) -> None:
    folder = tmp_path_factory.mktemp("run")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "plan.json").write_text(json.dumps(plan_document(4, DIGITS)))
    assert "could not be drawn" not in report.render(folder)


def test_reports_of_large_runs_stay_small(tmp_path: Path) -> None:
    names = [f"<b>class number {i}</b> 🦆" for i in range(10_000)]
    folder = build(tmp_path / "run", epochs=3, steps=20, classes=names, matrix=False)
    lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    step = '{"kind":"step","epoch":2,"step":%d,"progress":%f,"lr":0.1,"loss":%f,"kept":9,"seconds":%d,"fee":5}\n'
    lines += [step % (61 + i, 2 / 3 + i / 3e5, 1 + i % 97 / 97, 60 + i) for i in range(100_000)]
    (folder / "rows.jsonl").write_text("".join(lines))
    html = report.render(folder)
    assert len(html.encode()) < 2_000_000
    assert "The 20 classes with the lowest accuracy" in html


def test_the_worst_case_stays_below_two_megabytes(tmp_path: Path) -> None:
    """10,000 classes with long names that have to be escaped, every list at its limit, every picture at its own."""
    name = "'\"<&>🦆\u202e" * 30
    names = [f"{i}{name}" for i in range(10_000)]
    stages = [{"index": i, "first_epoch": i, "epochs": 1, "side_px": 8 + i, "batch_size": 8} for i in range(150)]
    folder = build(tmp_path / "run", epochs=150, steps=20, classes=DIGITS, resume_at=4)
    (folder / "plan.json").write_text(
        json.dumps(plan_document(150, names, stages) | {"notes": [name * 5] * 300}, ensure_ascii=False)
    )
    result = result_document(150, 10_000, matrix=False)
    samples = [{"id": i, "loss": 9.0, "true": i, "predicted": i + 1, "probability": 0.5,
                "thumbnail": f"previews/worst/{i:03d}.jpg"} for i in range(64)]  # fmt: skip
    result["tables"] |= {"test/worst": [name] * 64, "test/worst_samples": samples}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "env.json").write_text(json.dumps({f"{name}{i}": name * 4 for i in range(300)}))
    for kind in ("given", "resolved"):
        (folder / f"recipe.{kind}.toml").write_text(name * 1000)
    (folder / "previews" / "worst").mkdir(parents=True)
    for i in range(64):
        (folder / "previews" / "worst" / f"{i:03d}.jpg").write_bytes(b"\xff\xd8\xff" + bytes(11_900))
    for i in range(1, 6):
        (folder / "previews" / f"stage-{i}.jpg").write_bytes(b"\xff\xd8\xff" + bytes(249_900))
    html = report.render(folder)
    check_harmless(html)
    assert 1_500_000 < len(html.encode()) < 2_000_000, "the pictures take what room there is"
    assert html.count("data:image/jpeg") >= 3
    assert "in the folder previews." in html


def luminance(color: str) -> float:
    digits = color if len(color) == 6 else "".join(2 * c for c in color)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("block", [0, 1], ids=["light", "dark"])
def test_contrast_is_aa(block: int) -> None:
    css = (Path(report.__file__).parent / "page.css").read_text(encoding="utf-8")
    root = css.split(":root{")[block + 1].split("}")[0]
    color = dict(re.findall(r"--([\w-]+):#([0-9a-f]+)", root))
    for name, rgb in re.findall(r"--(right|wrong):(\d+ \d+ \d+)", root):
        color[name] = "".join(f"{int(part):02x}" for part in rgb.split())
    for ground in ("page", "card"):
        for text in ("ink", "ink2", "accent"):
            assert contrast(color[text], color[ground]) >= 4.5, (text, ground)
        for stroke in ("s1", "s2", "s3", "s4"):
            assert contrast(color[stroke], color[ground]) >= 3, (stroke, ground)
    for ground in ("right", "wrong", *(f"c{i}" for i in range(8))):
        assert contrast(color["ink"], color[ground]) >= 4.5, ground
    assert contrast(color["ink2"], color["band"]) >= 4.5
    for kind in ("ok", "go", "warn", "bad"):
        assert contrast(color[kind], color[f"{kind}-bg"]) >= 4.5, kind
