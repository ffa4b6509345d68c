"""Classes of a run: confusion and accuracy."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer import report
from run_folders import build, check_harmless


@pytest.mark.parametrize("count", [1, 2, 31, 100, 101])
def test_confusion_in_the_form_that_fits(tmp_path: Path, count: int) -> None:
    folder = build(tmp_path / "run", epochs=1, steps=1, classes=[f"class {i}" for i in range(count)])
    (folder / "rows.jsonl").unlink()
    html = report.render(folder)
    check_harmless(html)
    assert ('class="confusion"' in html) == (count <= 30)
    assert ('class="heat"' in html) == (30 < count <= 100)
    assert html.count('class="n meter"') == (min(count, 20) if count > 30 else count)
