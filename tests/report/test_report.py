"""The report is a pure function of the run folder: complete, harmless, and there for every folder."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewer import report
from fewer.core.errors import RecipeError, ResourceError
from fewer.report import units
from fewer.report.curves import schedule
from fewer.report.history import history
from fewer.report.live import Budget
from fewer.report.load import Rows, load
from fewer.report.markup import esc
from fewer.report.page import events
from fewer.report.series import class_charts
from fewer.report.summary import head
from fewer.report.values import thin

Json = dict[str, Any]
DIGITS = [str(i) for i in range(10)]


def plan_document(epochs: int, classes: list[str], stages: list[Json] | None = None) -> Json:
    half = epochs // 2
    two = [
        {"index": 0, "first_epoch": 0, "epochs": half, "side_px": 24, "batch_size": 128},
        {"index": 1, "first_epoch": half, "epochs": epochs - half, "side_px": 32, "batch_size": 128},
    ]
    low = {"full_epoch_equivalents": 5.1, "effective_epochs": 4.9, "samples_backpropagated": 7000, "flops": 6.1e12}
    high = {"full_epoch_equivalents": 7.4, "effective_epochs": 7.9, "samples_backpropagated": 11400, "flops": 8.9e12}
    return {
        "schema": 1, "digest": "ab12cd34", "epochs": epochs, "train_images": 1438, "val_images": 0, "test_images": 359,
        "classes": classes, "stages": two if stages is None else stages, "precision": "fp32", "channels_last": False,
        "notes": ["8x8 grey images are enlarged to 32x32 RGB"], "model": {"name": "cnn", "parameters": 1974336},
        "select": {"method": "dbpd", "score": "stale", "threshold": 0.3}, "plain_epoch_flops": 1.2e12,
        "predicted": {"low": low, "high": high},
    }  # fmt: skip


def row_lines(epochs: int, steps: int, classes: int, val: bool = True, resume_at: int | None = None) -> list[Json]:
    rows: list[Json] = [{"kind": "header", "schema": 1}]
    step, seconds, fee, effective = 0, 0.0, 0.0, 0.0
    for epoch in range(epochs):
        kept = max(0.35, 1 - 0.09 * epoch) if epoch < epochs - 1 else 1.0
        speed = 1900.0 if epoch < epochs // 2 else 1100.0
        if resume_at == epoch:
            rows.append({"kind": "resume", "epoch": epoch, "step": step})
        for batch in range(steps):
            step += 1
            seconds += 128 / speed
            fee += kept / steps * (0.56 if epoch < epochs // 2 else 1.0)
            effective += kept / steps
            progress = (epoch + (batch + 1) / steps) / epochs
            loss = 0.15 + 2.2 * math.exp(-5 * progress) + 0.12 * math.sin(step * 12.9898) * math.exp(-2 * progress)
            rows.append(
                {
                    "kind": "step", "epoch": epoch, "batch": batch, "step": step, "progress": progress,
                    "lr": 0.4 * min(progress / 0.1, (1 - progress) / 0.9), "loss": loss, "top1": 1 - loss / 2.4,
                    "kept": round(128 * kept), "candidates": 128, "side_px": 24, "batch_size": 128, "skipped": False,
                    "seconds": seconds, "fee": fee, "effective_epochs": effective,
                }
            )  # fmt: skip
        top1 = 0.96 - 0.8 * math.exp(-0.5 * (epoch + 1))
        at = {"epoch": epoch, "step": step, "seconds": seconds, "fee": fee, "effective_epochs": effective}
        series = {"kept_share_per_class": [round(kept * (0.8 + 0.4 * (c % 7) / 7), 4) for c in range(classes)]}
        rows.append(
            {"kind": "epoch", **at, "loss": rows[-1]["loss"], "top1": top1, "kept_share": kept,
             "images_per_second": speed, "series": series}
        )  # fmt: skip
        if val:
            scalars = {"top1": top1 - 0.02 * epoch / epochs, "top5": 0.99, "loss": 1.2 - top1, "macro_f1": top1 - 0.03}
            rows.append({"kind": "evaluation", "split": "val", **at, "scalars": scalars})
        rows.append({"kind": "checkpoint", "path": f"checkpoints/epoch-{epoch:03d}", "epoch": epoch, "step": step})
    return rows


def confusion(classes: int, right: int = 33) -> list[list[int]]:
    rows = [[0] * classes for _ in range(classes)]
    for i in range(classes):
        rows[i][i] = right - i % 5
        rows[i][(i * 7 + 3) % classes] += i % 5
        rows[i][(i + 1) % classes] += i % 3
    return rows


def result_document(epochs: int, classes: int, matrix: bool = True) -> Json:
    table = confusion(classes) if matrix else None
    accuracy = [row[i] / sum(row) for i, row in enumerate(table)] if table else [(i % 97) / 97 for i in range(classes)]
    seconds = {"train": 160.2, "select": 21.5, "data_wait": 3.3, "evaluate": 18.9, "checkpoint": 2.2, "compile": 0,
               "sync": 0, "other": 7.9, "total": 214.0}  # fmt: skip
    return {
        "schema": 1, "digest": "ab12cd34", "epochs": epochs, "steps": 12 * epochs,
        "metrics": {"test/top1": 0.931, "test/top5": 0.997, "test/macro_f1": 0.929, "test/loss": 0.241,
                    "val/top1": 0.939, "val/loss": 0.25, "test/last/top1": 0.928},
        "best": {"epoch": epochs - 2, "metric": "val/top1", "value": 0.939, "checkpoint": "checkpoints/best"},
        "ledger": {"samples_loaded": 8340, "samples_decoded": 1438, "samples_forwarded": 16300,
                   "samples_backpropagated": 8340, "effective_epochs": 5.8, "full_epoch_equivalents": 6.2,
                   "flops": 7.44e12, "bytes_sent": 0, "peak_memory_bytes": 512_000_000, "seconds": seconds},
        "tables": {"test/per_class_accuracy": accuracy, "test/worst": ["3/<i>7.png"],
                   **({"test/confusion": table} if table else {})},
        "quarantined": 2,
    }  # fmt: skip


def build(
    folder: Path, *, epochs: int = 10, steps: int = 12, classes: list[str] | None = None, state: str | None = "done",
    result: bool = True, matrix: bool = True, resume_at: int | None = None, val: bool = True,
) -> Path:  # fmt: skip
    """A run folder as `fewer train` leaves it."""
    names = DIGITS if classes is None else classes
    folder.mkdir(parents=True, exist_ok=True)
    rows = row_lines(epochs, steps, len(names), val, resume_at)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "plan.json").write_text(json.dumps(plan_document(epochs, names)))
    environment = {"python": "3.11.2", "torch": "2.10.0", "processor": "Xeon", "cores": 2, "threads": 2}
    (folder / "env.json").write_text(json.dumps(environment))
    (folder / "recipe.given.toml").write_text('[data]\nsource = "digits"\n[select]\nmethod = "dbpd"\n')
    (folder / "recipe.resolved.toml").write_text('[data]\nsource = "digits"\nval = "5%"\n[train]\nepochs = 10\n')
    if state is not None:
        (folder / "status.json").write_text(json.dumps({"state": state, "epoch": epochs, "message": ""}))
    if result:
        (folder / "result.json").write_text(json.dumps(result_document(epochs, len(names), matrix)))
    return folder


class Reader(HTMLParser):
    """What a browser would make of the page: its elements, its text, every attribute."""

    VOID = frozenset({"meta", "img", "br", "link", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(key, value or "") for key, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(key, value or "") for key, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert [tag] == self.open[-1:], f"</{tag}> closes nothing"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words).replace(units.NBSP, " ")


def check_harmless(html: str) -> Reader:
    """No script, nothing fetched, every element closed, every id unique."""
    reader = Reader(html)
    assert not reader.open
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(reader.tags)
    for key, value in reader.attributes:
        assert not key.startswith("on")
        assert key not in {"src", "href"} or value.startswith(("data:image/png", "data:image/jpeg", "#"))
    assert "http://" not in html
    assert "https://" not in html
    assert "url(//" not in html
    ids = [value for key, value in reader.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    assert "could not be drawn" not in html
    return reader


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("runs") / "digits-dbpd", resume_at=4)


@pytest.fixture(scope="module")
def done_html(done: Path) -> str:
    return report.render(done)


def test_says_result_and_cost_in_one_sentence(done_html: str) -> None:
    sentence = re.search(r'class="headline">(.*?)</p>', done_html)
    assert sentence is not None
    assert sentence[1].replace(units.NBSP, " ") == (
        "93.1 % top-1 on test after 10 epochs; cost: 6.2 full-epoch equivalents (FEE), 5.8 effective epochs (EE), "
        "214 s — 62 % of plain training&#x27;s 10 FEE."
    )


def test_page_is_complete_and_harmless(done_html: str) -> None:
    reader = check_harmless(done_html)
    for expected in ("digits-dbpd", "Done", "1.97 M parameters", "8,340", "16.3 k", "7.44 TFLOP", "512 MB", "within",
                     "5.1 – 7.4", "data wait", "8x8 grey images are enlarged", "resumed after 4.0 epochs",
                     "2 images could not be read", "3.11.2", 'source = "digits"', "24 px", "Full-epoch equivalents",
                     "after epoch 9", "dbpd (score stale, threshold 0.3)", "kept share", "3/<i>7.png"):  # fmt: skip
        assert expected in reader.text, expected
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in done_html
    assert len(done_html.encode()) < 400_000


def test_every_plot_speaks(done_html: str) -> None:
    plots = re.findall(r'<svg class="plot".*?</svg>', done_html, re.DOTALL)
    assert len(plots) == 7  # loss and top-1 three times, learning rate, kept share, speed, kept share by class
    for drawing in plots:
        assert 'role="img"' in drawing
        assert "<title>" in drawing
        assert "<desc>" in drawing
        assert "#0101" not in drawing
        assert "#0102" not in drawing
        assert "DejaVu" not in drawing, re.findall(".{40}DejaVu.{40}", drawing)
        assert "<metadata" not in drawing


def test_two_renders_are_equal(done: Path, done_html: str) -> None:
    assert report.render(done) == done_html


def test_write_replaces_the_page_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(tmp_path / "run", epochs=2, steps=2)
    (folder / "rows.jsonl").unlink()
    path = report.write(folder)
    assert path == folder / "report.html"
    assert path.read_text(encoding="utf-8") == report.render(folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    before = sorted(folder.iterdir())
    with pytest.raises(ResourceError, match="No space left"):
        report.write(folder)
    assert sorted(folder.iterdir()) == before


def test_write_refuses_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such run folder"):
        report.write(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match="not a run folder"):
        report.write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_needs_no_torch_and_no_pyplot(done: Path) -> None:
    code = (
        "import sys, pathlib\nfrom fewer import report\n"
        "assert not {'matplotlib', 'numpy'} & set(sys.modules), 'matplotlib is to be imported when drawing'\n"
        f"report.render(pathlib.Path({str(done)!r}))\n"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


STATES = {"done": "Done", "running": "Running", "preempted": "Preempted", "interrupted": "Interrupted",
          "failed": "Failed"}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_says_the_state(tmp_path: Path, state: str) -> None:
    folder = build(tmp_path / "run", epochs=3, steps=2, state=state, result=state == "done")
    (folder / "rows.jsonl").unlink()
    (folder / "status.json").write_text(json.dumps({"state": state, "epoch": 1, "message": "out of <b>patience</b>"}))
    html = report.render(folder)
    check_harmless(html)
    assert f'class="state {"paused" if state in {"preempted", "interrupted"} else state}">{STATES[state]}<' in html
    assert "out of &lt;b&gt;patience&lt;/b&gt;" in html


def test_running_run_shows_what_it_has_spent(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=4, steps=5, state="running", result=False, val=False)
    lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(lines[:9]) + lines[9][:40])  # torn in the second epoch
    text = check_harmless(report.render(folder)).text
    assert "top-1 in training after 1 of 4 epochs; cost:" in text
    assert "spent so far" in text
    assert "still training" in text


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


def test_damage_in_the_middle_of_the_rows(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=3, steps=4, result=False)
    lines = (folder / "rows.jsonl").read_text().splitlines()
    lines[3] = lines[3][:20] + "\x00" + lines[3][21:60]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    read = load(folder)
    text = check_harmless(head(read, history(read))).text
    assert "1 damaged line of rows.jsonl" in text
    assert "after 3 epochs" in text


def test_rows_that_a_resume_took_back_are_left_out(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=2, steps=4, result=False)
    rows = row_lines(2, 4, 10)
    lost, redone = rows[:8], rows[5:]  # steps 5.. are repeated after a kill; the log holds both
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*lost, {"kind": "resume", "step": 4}, *redone])
    )
    story = history(load(folder))
    assert [mark.row["step"] for mark in story.steps] == list(range(1, 9))
    assert [mark.row["epoch"] for mark in story.epochs] == [0, 1]


def test_an_extended_run_keeps_its_clock(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=2, steps=2, result=False)
    more = [{"kind": "amendment", "key": "train.epochs", "old": 2, "new": 4},
            {"kind": "step", "epoch": 2, "batch": 0, "step": 5, "progress": 2.5 / 4, "loss": 0.1}]  # fmt: skip
    with (folder / "rows.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in more)
    read = load(folder)
    assert [mark.epochs for mark in history(read).steps] == pytest.approx([0.5, 1, 1.5, 2, 2.5])
    assert "<code>train.epochs</code> from 2 to 4" in events(read, history(read))


def test_effective_epochs_never_stand_alone(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=2, steps=2)
    result = json.loads((folder / "result.json").read_text())
    del result["ledger"]["seconds"], result["ledger"]["full_epoch_equivalents"]
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "rows.jsonl").unlink()
    html = report.render(folder)
    tops = html[: html.index("<section")]
    assert "effective epochs" not in tops
    assert ">EE<" not in tops


def test_plain_run_shows_no_kept_share(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=2, steps=2)
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        row |= {"kept_share": 1.0} if row["kind"] == "epoch" else {"kept": 128} if row["kind"] == "step" else {}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = load(folder)
    assert "kept share, %" not in schedule(read, history(read))


def test_series_by_class_are_drawn(tmp_path: Path) -> None:
    """Two classes of known series: both lines, their mean, and the names where they end."""
    folder = build(tmp_path / "run", epochs=3, steps=2, classes=["cat", "dog"])
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    told = iter([[10, 30], [20, 20], [40, 0]])
    for row in rows:
        if row["kind"] == "epoch":
            row["series"] = {"quota_per_class": next(told), "odd <b>": ["x", None]}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = load(folder)
    (chart,) = class_charts(read, history(read))
    (panel,) = chart.panels
    assert panel.name == "quota by class"
    assert [line for _, line in panel.lines] == [
        [(1, 10), (2, 20), (3, 40)],
        [(1, 30), (2, 20), (3, 0)],
        [(1, 20), (2, 20), (3, 20)],
    ]
    assert list(panel.labels) == [(3, 40, "cat", "above"), (3, 0, "dog", "below")]
    assert "quota by class" in report.render(folder)


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


@pytest.mark.parametrize("count", [1, 2, 31, 100, 101])
def test_confusion_in_the_form_that_fits(tmp_path: Path, count: int) -> None:
    folder = build(tmp_path / "run", epochs=1, steps=1, classes=[f"class {i}" for i in range(count)])
    (folder / "rows.jsonl").unlink()
    html = report.render(folder)
    check_harmless(html)
    assert ('class="confusion"' in html) == (count <= 30)
    assert ('class="heat"' in html) == (30 < count <= 100)
    assert html.count('class="n meter"') == (min(count, 20) if count > 30 else count)


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


def test_thin_keeps_spikes_and_order() -> None:
    values = [1.0] * 10_000
    values[4321] = 99.0
    kept = thin(values, 500)
    assert len(kept) <= 500
    assert 4321 in kept
    assert kept == sorted(set(kept))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (units.count(1438), "1,438"), (units.count(1_974_336), "1.97 M"), (units.count(99_960), "100 k"),
        (units.count(999_999), "1.00 M"), (units.amount(7.44e12, "FLOP"), "7.44 TFLOP"), (units.amount(0, "B"), "0 B"),
        (units.duration(0), "0 s"), (units.duration(0.42), "0.42 s"), (units.duration(214), "214 s"),
        (units.duration(725), "12 min 05 s"), (units.duration(12_000), "3 h 20 min"), (units.share(0.931), "93.1 %"),
        (units.metric("top1", 0.931), "93.1 %"), (units.metric("loss", 0.2411), "0.241"),
    ],
)  # fmt: skip
def test_units(shown: str, expected: str) -> None:
    assert shown.replace(units.NBSP, " ") == expected


def test_steps_of_a_long_run_are_thinned_without_losing_spikes_or_other_rows() -> None:
    rows = Rows(limit=100)
    for step in range(10_000):
        rows.add({"kind": "step", "step": step, "loss": 99.0 if step == 4321 else 1 + step % 7})
        if step % 1000 == 999:
            rows.add({"kind": "epoch", "epoch": step // 1000})
    steps = [row["step"] for row in rows.kept if row["kind"] == "step"]
    assert len(steps) <= 101
    assert 4321 in steps
    assert steps == sorted(set(steps))
    assert [row["epoch"] for row in rows.kept if row["kind"] == "epoch"] == list(range(10))


def test_a_long_record_is_read_in_part_without_losing_spikes_other_rows_or_damage(tmp_path: Path) -> None:
    def line(**row: Any) -> str:
        return json.dumps(row, separators=(",", ":"), allow_nan=True) + "\n"

    count = 90_001
    with (tmp_path / "rows.jsonl").open("w") as file:
        for step in range(count):
            loss = {4321: 99.0, 54_322: -5.0, 7: math.nan, 8: None}.get(step, 1 + step % 7 / 7)
            file.write(line(kind="step", step=step, loss=loss, kept=9))
            if step % 1000 == 999:
                file.write(line(kind="epoch", epoch=step // 1000, loss=1.0))
            if step == 60_000:
                file.write('{"kind":"step","step":60000,"lo\n')
        file.write('{"kind":"step","step":90001,"loss":1')
    folder = load(tmp_path)
    steps = [row["step"] for row in folder.rows if row["kind"] == "step"]
    assert steps == sorted(set(steps))
    assert {4321, 54_322} <= set(steps)
    assert 10_000 < len(steps) <= 40_000
    assert [row["epoch"] for row in folder.rows if row["kind"] == "epoch"] == list(range(90))
    assert folder.problems == ["1 damaged line of rows.jsonl left out."]


def test_labels_of_ticks_are_not_cut(tmp_path: Path) -> None:
    rows = [{"kind": "step", "epoch": 0, "step": i, "progress": i / 9, "lr": 0.1 * i / 8} for i in range(9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "plan.json").write_text(json.dumps(plan_document(1, DIGITS)))
    folder = load(tmp_path)
    shown = re.findall(r">([\d.]+)</text>", schedule(folder, history(folder)))
    assert {"0.025", "0.050", "0.075"} <= set(shown)


def test_a_running_stage_ends_where_the_run_stands(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=3, steps=2, state="running", result=False)
    (folder / "plan.json").write_text(json.dumps(plan_document(10, DIGITS)))
    read = load(folder)
    assert history(read).stages(read.plan, "epochs") == [(0, 3, "24 px")]


def test_names_cannot_turn_the_text_around() -> None:
    assert "\u202e" not in esc("x\u202eevil")
    assert esc("مرحبا") == "مرحبا"


def test_drawing_takes_a_twentieth_of_the_run() -> None:
    budget = Budget()
    assert not budget.allows(59)
    assert budget.allows(60)
    budget.spent, budget.last = 10.0, 2.0
    assert not budget.allows(239)
    assert budget.allows(240)
