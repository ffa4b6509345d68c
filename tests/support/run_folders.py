"""Run folders made by hand, and a reader of the pages made from them."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fewer.report import units

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
