"""Kinds of findings: the document is stable, and the severity is what training does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fewer.data.decode.decode import Damaged, decode
from fewer.inspection.findings import KINDS
from server import Ended, Server
from zoo import damaged_files, odd_files


def test_the_document_is_stable(checked: Ended) -> None:
    assert checked.code == 3
    assert checked.stderr == ""
    document = checked.json
    assert document.keys() == {"schema", "source", "images", "classes", "counts", "notes", "findings"}
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


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks, which the command line does not show
def test_each_file_alone_is_judged_as_the_decoder_judges_it() -> None:
    for code, raw in damaged_files().values():
        assert (KINDS[code].severity, KINDS[code].effect) == ("error", "damaged")
        with pytest.raises(Damaged):
            decode(raw, 32)
    for names, raw in odd_files().values():
        assert all(KINDS[code].effect == "trains" for code in names)
        assert decode(raw, 32).shape == (32, 32, 3)


@pytest.mark.parametrize("code", KINDS)
def test_headings_read_aloud(code: str) -> None:
    """A number, then what there is so many of: "1 empty file", "2 empty files"."""
    one, two = KINDS[code].heading(1), KINDS[code].heading(2_000)
    assert one.startswith("1 ")
    assert two.startswith("2,000 ")
    assert "[" not in one + two
    assert one.removeprefix("1 ") != two.removeprefix("2,000 "), "one and several differ"
