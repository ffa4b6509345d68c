"""The pages in headless Chromium: they fit, they fetch nothing, they can be read in light and dark."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dense_runs import dense_run
from drawings import drawings
from fewer import report
from fewer.compare.arms import Arm, arms_of
from fewer.compare.comparison_page import comparison_page
from fewer.compare.grid import Cell
from fewer.compare.results import Criteria, Results, summarised
from fewer.compare.variants import Base, changes_of, variants_of
from fewer.recipe.parse import parse_recipe
from fewer.session.fit import fit
from fewer.testing.harness import one_thread

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
RECIPE: dict[str, Any] = {
    "data": {"source": "digits", "test": "90%", "val": "20%", "cache": "no"},
    "augment": {"crop_padding_px": 2},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 32, "lr": 0.05},
    "select": {"method": "dbpd", "threshold": 0.5, "revision": "1ep"},
    "stages": [{"epochs": 2, "side_px": 16}, {"epochs": 2, "side_px": 20}],
}
# Text against the first opaque ground behind it, by WCAG's formula; half-transparent grounds are laid over one another.
CONTRAST = """() => {
  const rgba = text => { const n = text.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1] };
  const over = (a, b) => a.slice(0, 3).map((v, i) => v * a[3] + b[i] * (1 - a[3]));
  const light = c => c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const layer = rgba(getComputedStyle(e).backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const bad = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || e.closest('[aria-hidden], title, desc, style')) continue;
    const style = getComputedStyle(e), below = ground(e);
    const ink = over(rgba(e.closest('svg') ? style.fill : style.color), below);
    const [low, high] = [light(ink), light(below)].sort((a, b) => a - b);
    seen++;
    if ((high + .05) / (low + .05) < 4.5) bad.push(`${e.tagName} ${e.className} "${walker.currentNode.data.trim()}"`);
  }
  return [seen, bad];
}"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "digits"
    with one_thread(), drawings(True):
        fit(parse_recipe(RECIPE), folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("FEWER_REQUIRE_BROWSER") == "1":
            pytest.fail("FEWER_REQUIRE_BROWSER=1, but there is no chromium on the path")
        pytest.skip("no chromium on the path; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@contextmanager
def opened(browser: Any, file: Path, scheme: str, pictures: Path) -> Iterator[Any]:
    """The page in a browser, after it has been found to fit, to fetch nothing, and to be readable."""
    said: list[str] = []
    fetched: list[str] = []
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    for width_px in (1280, 640, 390):  # 640 px is what 200 % zoom leaves of 1280
        page.set_viewport_size({"width": width_px, "height": 900})
        wide, there = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= there, f"{wide} px at {width_px}"
        page.screenshot(path=pictures / f"{scheme}-{width_px}.png", full_page=True)
        assert (pictures / f"{scheme}-{width_px}.png").stat().st_size > 20_000
    seen, bad = page.evaluate(CONTRAST)
    assert seen > 100
    assert not bad
    unnamed = "[...document.querySelectorAll('.scroll')].filter(e => e.tabIndex !== 0 || !e.ariaLabel).length"
    assert page.evaluate(unnamed) == 0
    assert not said
    assert [url for url in fetched if not url.startswith("data:")] == [file.as_uri()]
    yield page
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_fetches_nothing_and_can_be_read(run: Path, browser: Any, scheme: str, tmp_path: Path) -> None:
    with opened(browser, run / "report.html", scheme, tmp_path) as page:
        decoded = "Promise.all([...document.images].map(e => e.decode().then(() => [e.naturalWidth, e.alt])))"
        images = page.evaluate(decoded)
        assert len(images) >= 20, "thumbnails and previews"
        assert all(width_px > 0 and alt for width_px, alt in images)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("task", ["detect", "segment"])
def test_reports_of_boxes_and_masks_fit_and_can_be_read(browser: Any, scheme: str, task: str, tmp_path: Path) -> None:
    """With names of classes that a page must not run, and pairs of pictures that are larger than thumbnails."""
    folder = dense_run(tmp_path / "run", task, classes=14)
    report.write(folder)
    with opened(browser, folder / "report.html", scheme, tmp_path) as page:
        assert page.locator(".worst.whole img").count() == 5
        assert page.locator("#classes svg.plot").count() == (task == "detect")
        wide = page.evaluate("Math.max(...[...document.querySelectorAll('.worst img')].map(e => e.clientWidth))")
        assert wide > 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_fits_fetches_nothing_and_can_be_read(browser: Any, scheme: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('data.source = "digits"\nmodel.name = "lenet5"\n')
    base = Base.read(tmp_path / "recipe.toml")
    plain, variants = variants_of(base, changes_of(["select.method=dbpd,random,infobatch"], None))
    arms = arms_of(base, plain, variants, [2, 5, 10])
    cells = [finished(arm, seed, number) for number, arm in enumerate(arms) for seed in range(3)]
    results = Results(Criteria("val/top1", 0.5, range(3), 100.0, images=0), arms, cells)
    summary = {**summarised(results), "recipe": "a-recipe-with-a-long-name", "baseline_digest": "0123456789abcdef"}
    (tmp_path / "compare.html").write_text(comparison_page({**summary, "confirmation": summary}))
    with opened(browser, tmp_path / "compare.html", scheme, tmp_path) as page:
        assert page.locator(".passed").count() > 0
        assert page.locator(".broken").count() > 0
        assert page.locator("svg.plot").count() == 4


def finished(arm: Arm, seed: int, number: int) -> Cell:
    """A made-up run; those of the last variant failed."""
    if number == 3:
        return Cell(arm, seed, Path("x"), "failed", {}, "the loss is no longer finite")
    ledger = {"effective_epochs": 10.0 - number, "flops": 1000 - 100 * number, "optimizer_steps": 900 - 90 * number}
    metrics = {"val/top1": 0.9 - 0.001 * number + 0.0003 * seed, "test/top1": 0.89}
    return Cell(
        arm, seed, Path("x"), "done", {"metrics": metrics, "ledger": {**ledger, "seconds": {"total": 60.0 - number}}}
    )


def test_run_left_plots_previews_and_thumbnails(run: Path) -> None:
    from PIL import Image

    assert {path.name for path in (run / "plots").iterdir()} == {
        "epochs.png", "seconds.png", "fee.png", "schedule.png",
    }  # fmt: skip
    for path in [*(run / "plots").iterdir(), *(run / "previews").rglob("*.jpg")]:
        with Image.open(path) as image:
            image.load()
    assert {path.name for path in (run / "previews").glob("*.jpg")} == {"stage-1.jpg", "stage-2.jpg", "validation.jpg"}
    assert len(list((run / "previews" / "worst").iterdir())) == 64


def test_links_and_other_files_are_not_embedded(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"\xff\xd8\xff" + b"secret")
    first, second = (copy / "previews" / "worst" / f"{i:03d}.jpg" for i in (1, 2))
    first.unlink()
    first.symlink_to(secret)
    second.write_bytes(b"<script>alert(1)</script>")
    before, after = report.render(run), report.render(copy)
    assert after.count("data:image/jpeg") == before.count("data:image/jpeg") - 2
