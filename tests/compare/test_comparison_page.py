"""Page of a comparison: self-contained, escaped, a function of the document."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fewer.compare.comparison_page import chart, comparison_page
from server import Ended
from small_comparison import EVIL


class Page(HTMLParser):
    """The tags of a page, and whatever it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href", "srcset")]


def test_the_page_is_self_contained_and_escaped(compared: Ended, home: Path) -> None:
    text = (home / "cmp" / "compare.html").read_text()
    found = Page(text)
    assert "script" not in found.tags
    assert found.tags.count("html") == 1
    assert all(link.startswith("#") for link in found.links)
    assert "&lt;script&gt;alert(1)" in text
    assert text.count('<svg class="plot"') == 2
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    for word in ("Verdicts", "FEE (full-epoch equivalents)", "seconds", "failed: 2 of 2 runs"):
        assert word in text


def test_the_page_is_a_function_of_the_document(summary: dict[str, Any], home: Path) -> None:
    assert comparison_page(summary) == (home / "cmp" / "compare.html").read_text()
    evil = {**summary, "recipe": EVIL, "metric": f"val/{EVIL}"}
    assert "<script" not in comparison_page(evil)


def test_a_curve_is_interrupted_at_a_budget_all_of_whose_runs_failed() -> None:
    def arm(kind: str, epochs: int, top1: float | None) -> dict[str, Any]:
        metrics = {} if top1 is None else {"val/top1": {"mean": top1, "low": top1, "high": top1}}
        fee = None if top1 is None else {"mean": float(epochs)}
        name = f"{kind} {epochs}"
        budget = {} if kind == "baseline" else {"budget_epochs": epochs}
        return {"name": name, "kind": kind, "metrics": metrics, "full_epoch_equivalents": fee, **budget}

    arms = [arm("baseline", 8, 0.9), arm("plain", 2, 0.7), arm("plain", 4, None), arm("plain", 6, 0.8)]
    arms += [arm("random", epochs, 0.6) for epochs in (2, 4, 6)]
    summary = {"arms": arms, "metric": "val/top1", "task": {}, "epochs": 8}
    (panel,) = chart(summary, {}, "full_epoch_equivalents", "key").panels
    assert panel.lines == [
        ("plain", [(2.0, 0.7)]),
        ("plain", [(6.0, 0.8), (8.0, 0.9)]),
        ("random", [(2.0, 0.6), (4.0, 0.6), (6.0, 0.6), (8.0, 0.9)]),
    ]
