"""`fewer recipes` on the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from fewer.recipe import shipped
from server import Server

NO_TORCH = """
import sys
from fewer.cli import main
sys.argv = ["fewer", "recipes"]
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


def test_recipes_are_listed_with_what_they_are_for_and_what_was_measured(server: Server, tmp_path: Path) -> None:
    listed = server.run("recipes", cwd=tmp_path)
    assert (listed.code, listed.stderr) == (0, "")
    lines = listed.stdout.splitlines()
    named = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert named == [*shipped.names(), "fewer"]
    place = next(place for place, line in enumerate(lines) if line.startswith("cifar-standard "))
    assert "airbench94" in lines[place]
    assert "result: 93.28 % top-1" in lines[place + 1]
    assert "time: 32.5 minutes" in lines[place + 1]
    document = server.run("recipes", "--json", cwd=tmp_path).json
    assert [card["name"] for card in document] == shipped.names()
    assert document[0].keys() == {"name", "purpose", "time", "result"}


def test_one_is_printed_as_it_is(server: Server, tmp_path: Path) -> None:
    one = server.run("recipes", "cifar-progressive", cwd=tmp_path)
    assert one.stdout == shipped.text("cifar-progressive")
    assert tomllib.loads(one.stdout)["stages"][0] == {"epochs": 4, "side_px": 22}
    [card] = server.run("recipes", "cifar-progressive", "--json", cwd=tmp_path).json
    assert card["name"] == "cifar-progressive"


def test_the_list_needs_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", NO_TORCH], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
