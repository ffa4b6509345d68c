"""Head of a report: result, cost and state of a run."""

from __future__ import annotations

import fcntl
import json
import re
from pathlib import Path

import pytest

from fewer import report
from fewer.report import units
from fewer.report.history import history
from fewer.report.load import load
from fewer.report.sections.summary import head
from run_folders import build, check_harmless


def test_says_result_and_cost_in_one_sentence(done_html: str) -> None:
    sentence = re.search(r'class="headline">(.*?)</p>', done_html)
    assert sentence is not None
    assert sentence[1].replace(units.NBSP, " ") == (
        "93.1 % top-1 on test (95 % interval 90.0 to 95.3 %, 359 images) by the best model, of epoch 9 of 10; cost: "
        "6.2 full-epoch equivalents (FEE), 5.8 effective epochs (EE), "
        "214 s — 62 % of plain training&#x27;s 10 FEE."
    )


def test_says_which_epoch_the_best_model_is_of(tmp_path: Path) -> None:
    folder = build(tmp_path / "run")
    result = json.loads((folder / "result.json").read_text())
    for epoch, said in ((6, "by the best model, of epoch 7 of 10; cost:"), (9, "after 10 epochs; cost:")):
        (folder / "result.json").write_text(json.dumps({**result, "best": {**result.get("best", {}), "epoch": epoch}}))
        assert said in check_harmless(report.render(folder)).text.replace(units.NBSP, " ")


STATES = {"done": "Done", "killed": "Killed", "preempted": "Preempted", "interrupted": "Interrupted",
          "failed": "Failed"}  # fmt: skip
LOOKS = {"preempted": "paused", "interrupted": "paused", "killed": "failed"}  # of the others their own


@pytest.mark.parametrize("state", STATES)
def test_says_the_state(tmp_path: Path, state: str) -> None:
    folder = build(tmp_path / "run", epochs=3, steps=2, state=state, result=state == "done")
    (folder / "rows.jsonl").unlink()
    reported = "running" if state == "killed" else state
    (folder / "status.json").write_text(
        json.dumps({"state": reported, "epoch": 1, "message": "out of <b>patience</b>"})
    )
    html = report.render(folder)
    check_harmless(html)
    assert f'class="state {LOOKS.get(state, state)}">{STATES[state]}<' in html
    assert "out of &lt;b&gt;patience&lt;/b&gt;" in html


def test_running_run_shows_what_it_has_spent(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=4, steps=5, state="running", result=False, val=False)
    lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(lines[:9]) + lines[9][:40])  # torn in the second epoch
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "still training" in check_harmless(report.render(folder)).text
    text = check_harmless(report.render(folder)).text
    assert "top-1 in training after 1 of 4 epochs; cost:" in text
    assert "spent so far" in text
    assert "it was killed, and can be resumed" in text


def test_damage_in_the_middle_of_the_rows(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", epochs=3, steps=4, result=False)
    lines = (folder / "rows.jsonl").read_text().splitlines()
    lines[3] = lines[3][:20] + "\x00" + lines[3][21:60]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    read = load(folder)
    text = check_harmless(head(read, history(read))).text
    assert "1 damaged line of rows.jsonl" in text
    assert "after 3 epochs" in text


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
