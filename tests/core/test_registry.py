"""Registries: what is found, under which names, and what a plug-in's file tells of itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fewer.core.registry import Registry
from fewer.data.sources import SOURCES
from fewer.models.registry import FAMILIES
from fewer.optim import AVERAGES, OPTIMIZERS, SCHEDULES
from fewer.recipe.parse import parse_recipe
from fewer.select.registry import METHODS
from fewer.sync.methods import SYNC_METHODS
from fewer.tasks import TASKS
from fewer.tasks.classify.loss import LOSSES

KINDS = [METHODS, TASKS, LOSSES, SYNC_METHODS, OPTIMIZERS, SCHEDULES, AVERAGES, FAMILIES]
ids = {"ids": lambda value: value.noun if isinstance(value, Registry) else str(value)}


@pytest.mark.parametrize(("registry", "name"), [(kind, name) for kind in KINDS for name in kind.names()], **ids)
def test_every_file_is_a_plug_in_with_a_card(registry: Registry, name: str) -> None:
    module = registry.module(name)
    assert registry.params(name) is module.Params
    assert registry is TASKS or callable(module.build)
    card = registry.card(name)
    assert card["summary"]
    assert registry.key not in card["parameters"]


def test_every_file_in_the_folder_of_sources_is_a_kind() -> None:
    assert all(SOURCES.module(name).FORMS for name in SOURCES.names())


def test_names_parameters_and_cards_need_no_torch() -> None:
    modules = ["fewer.select.methods", "fewer.tasks", "fewer.tasks.classify.losses", "fewer.sync.methods"]
    modules += ["fewer.optim.methods", "fewer.optim.schedules", "fewer.optim.averaging", "fewer.models.families"]
    code = f"""
import importlib, sys
from fewer.core.registry import Registry
for module in {modules}:
    for registry in list(vars(importlib.import_module(module)).values()):
        if isinstance(registry, Registry) and registry.noun != "model":
            [registry.card(name) for name in registry.names()]
            registry.neutral(), registry.examples()
from fewer.recipe.parse import parse_recipe
parse_recipe({{"data": {{"source": "digits"}}, "model": {{"name": "lenet5"}}}})
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("registry", [METHODS, OPTIMIZERS, SCHEDULES, AVERAGES, LOSSES, FAMILIES], **ids)
def test_examples_and_neutral_settings_are_valid(registry: Registry) -> None:
    section = {METHODS: "select", LOSSES: "task", FAMILIES: "model"}.get(registry, "train")
    for settings in (*registry.examples(), *registry.neutral()):
        head = {"head": "normalized"} if settings.get("loss") == "ldam" else {}
        content = {"data": {"source": "digits"}, "model": {"name": "lenet5", **head}}
        recipe = parse_recipe({**content, section: {**content.get(section, {}), **settings}})
        assert set(settings) <= set(getattr(recipe, section).model_dump())
    assert registry.examples()


def test_a_name_that_is_none_gets_a_hint() -> None:
    with pytest.raises(KeyError, match='no optimizer "sdg"; did you mean "sgd"'):
        OPTIMIZERS.module("sdg")
    with pytest.raises(KeyError, match="allowed: constant, cooldown, cosine, linear, one_cycle, piecewise, step"):
        SCHEDULES.params("")


def test_a_deprecated_spelling_stands_for_the_name() -> None:
    assert METHODS.canonical("everything") == "full"
    assert METHODS.module("everything") is METHODS.module("full")
    assert "everything" not in METHODS.names()
    assert METHODS.recorded("full") == "everything", "results of before are found"
    assert METHODS.recorded("dbpd") == "dbpd"
