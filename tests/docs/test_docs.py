"""Documentation agrees with the code: generated pages, tables, links, names, recipes."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import fewer
from fewer import cli
from fewer.recipe import shipped
from fewer.recipe.parse import load_recipe
from paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GENERATE = runpy.run_path(str(ROOT / "docs" / "generate.py"), run_name="generate")
with pytest.MonkeyPatch.context() as _patch:
    _patch.syspath_prepend(ROOT / "benchmarks")  # as for a script of that folder
    TABLES = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"), run_name="tables")


def test_generated_pages_are_what_the_code_says() -> None:
    pages = GENERATE["pages"]()
    stale = [str(path) for path, text in pages.items() if (ROOT / "docs" / path).read_text("utf-8") != text]
    assert not stale, f"stale: {', '.join(stale)}; run `make docs`"
    left = {path.name for path in (ROOT / "docs" / "cards").glob("*.md")} - {path.name for path in pages}
    assert not left, f"cards of methods that do not exist: {', '.join(left)}"


@pytest.mark.parametrize("page", TABLES["PAGES"], ids=lambda page: page.name)
def test_tables_of_the_pages_are_those_of_the_results(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "<!-- results:" in text
    assert TABLES["filled"](text) == text, "run `make docs`"


def test_the_readme_fits_on_a_few_screens_with_small_pictures() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 200
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert pictures
    assert all(0 < (ROOT / path).stat().st_size < 150_000 for path in pictures)


def result(seed: int, top1: float) -> dict[str, Any]:
    return {
        "recipe": "digits",
        "digest": "0123456789abcdef",
        "seed": seed,
        "metrics": {"test/top1": top1},
        "ledger": {"effective_epochs": 4.0, "full_epoch_equivalents": 6.5, "seconds": {"total": 90.0}},
        "environment": {"processor": "A processor", "device": "cpu", "ranks": 1, "threads": 2},
    }


def test_a_table_has_a_row_a_digest_with_mean_and_spread(tmp_path: Path) -> None:
    lines = [result(0, 0.97), result(1, 0.99), {**result(0, 0.9), "digest": "fedcba9876543210"}]
    (tmp_path / "recipes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = TABLES["filled"]("a\n<!-- results:recipes -->\nold\n<!-- /results -->\nb\n", tmp_path)
    assert "| digits | `01234567` | 2 | 98.00 ± 1.41 % | 4.00 | 6.50 | 1.5 | A processor, 2 threads |" in text
    assert "| digits | `fedcba98` | 1 | 90.00 % |" in text
    assert text.startswith("a\n<!-- results:recipes -->\n| recipe |")
    assert text.endswith("|\n<!-- /results -->\nb\n")
    assert "old" not in text


def test_a_table_without_results_says_so(tmp_path: Path) -> None:
    text = TABLES["filled"]("<!-- results:recipes -->\n<!-- /results -->\n", tmp_path)
    assert text == "<!-- results:recipes -->\nno finished run yet\n<!-- /results -->\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    local = [link.partition("#") for link in links if "://" not in link]
    assert not [path for path, _, _ in local if path and not (page.parent / path).exists()]
    headed = [(page.parent / path if path else page, anchor) for path, _, anchor in local if anchor]
    assert not [f"{target.name}#{anchor}" for target, anchor in headed if anchor not in anchors(target)]


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings can be linked to."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


def test_decisions_are_listed_in_order_each_under_a_number_of_its_own() -> None:
    listed = re.findall(r"^- .*\((.+\.md)\)$", (ROOT / "docs" / "adr" / "README.md").read_text("utf-8"), re.MULTILINE)
    assert listed == sorted(path.name for path in (ROOT / "docs" / "adr").glob("0*.md"))
    assert len({name[:4] for name in listed}) == len(listed), "a number stands for one decision"


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.toml")), ids=lambda path: path.name)
def test_recipes_are_valid_and_say_what_they_are(path: Path) -> None:
    load_recipe(path)
    header = path.read_text("utf-8").partition("\n[")[0]
    assert all(line.startswith("#") for line in header.strip().splitlines())
    verb = "tune" if path.parent.name == "tune" else "train"
    for word in (f"fewer {verb} {path.relative_to(ROOT)}", "Time:", "Result:"):
        assert word in header


def test_the_recipe_of_the_readme_is_the_best_one_for_photos() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert block == "[" + shipped.text("photos-finetune").partition("\n\n[")[2]


def test_every_command_has_a_row_that_names_all_its_flags() -> None:
    rows = re.findall(r"^\| `fewer .*$", (ROOT / "docs" / "commands.md").read_text("utf-8"), re.MULTILINE)
    rows = [row.replace("check\\|stats", verb) for row in rows for verb in ("check", "stats")]
    for name, command in verbs(typer.main.get_command(cli.app), "fewer"):
        row = "".join(row for row in rows if re.match(rf"\| `{name}[ `]", row))
        assert row, f"{name} has no row"
        flags = [[*flag.opts, *flag.secondary_opts] for flag in command.params if flag.opts[0].startswith("--")]
        missing = [names for names in flags if not any(re.search(rf"{each}(?![\w-])", row) for each in names)]
        assert not missing, f"{name}: {missing}"


def verbs(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The commands of a group, and of the groups in it."""
    if not hasattr(command, "commands"):
        yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, f"{name} {word}")


def test_public_names_exist_and_are_few() -> None:
    assert len(set(fewer.__all__) - {"__version__"}) <= 26
    assert list(fewer.__all__) == sorted(fewer.__all__)
    assert all(hasattr(fewer, name) for name in fewer.__all__)
    assert callable(fewer.fit)  # and not the module of the same name


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, fewer; fewer.load_recipe; dir(fewer); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        fewer.nothing  # noqa: B018


def test_the_ledgers_page_names_every_entry() -> None:
    from fewer.core.ledger import Ledger

    totals = Ledger(stages=1, train_images=1, plain_epoch_flops=1.0).totals()
    page = (ROOT / "docs" / "ledger.md").read_text("utf-8")
    missing = [name for name in (*totals, *totals["seconds"]) if f"`{name}`" not in page and name != "stages"]
    assert not missing
