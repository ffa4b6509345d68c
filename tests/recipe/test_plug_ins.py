"""Plug-ins of another package, installed as a user would: each is one file, and a recipe trains with all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

METHOD = '''"""Every other sample, by turns. Neutral never."""

from typing import Literal

from fewer.select import At, BaseSelector, ChoiceParams, Expectation, Population, Selection, unweighted


class Params(ChoiceParams):
    method: Literal["by_turns"] = "by_turns"
    turns: int = 2
    """How many turns there are."""


class ByTurns(BaseSelector):
    def __init__(self, turns):
        self.turns = turns

    def select(self, table, pool_ids, at: At) -> Selection:
        return unweighted(pool_ids[pool_ids % self.turns == at.epoch % self.turns])

    def expected(self, at: At) -> Expectation:
        return Expectation(0.4 / self.turns, 1.6 / self.turns)


def build(params: Params, population: Population) -> ByTurns:
    return ByTurns(params.turns)
'''
LOSS = '''"""Squared error of the probabilities (Brier 1950)."""

from dataclasses import replace

from fewer.tasks.classify.loss import LossParams
from fewer.tasks.classify.cross_entropy import cross_entropy


class Params(LossParams):
    smooths = False
    brier_scale: float = 1.0


def build(params, setting):
    def brier(logits_BC, label_B):
        import torch

        p_BC = logits_BC.softmax(1)
        error_B = (p_BC - torch.nn.functional.one_hot(label_B, logits_BC.shape[1])).square().sum(1)
        return replace(cross_entropy(logits_BC, label_B), loss_sum_B=params.brier_scale * error_B)

    return brier
'''
SCHEDULE = '''"""A warm-up, then the square root of what is left."""

from fewer.optim.shapes import Warmup, warmed_up


class Params(Warmup):
    root_floor: float = 0.0


def build(params, epochs):
    return warmed_up(params, epochs, lambda progress: max(params.root_floor, (1 - progress) ** 0.5))
'''
OPTIMIZER = '''"""The sign of the gradient."""

from fewer.core.config import Section


class Params(Section):
    sign_damping: float = 1.0

    def conflicts(self, epochs):
        return {"sign_damping": "moves nothing; give more"} if not self.sign_damping else {}


def build(params, groups):
    import torch

    class SignDescent(torch.optim.Optimizer):
        def __init__(self, groups):
            super().__init__(groups, {"momentum": 0.0})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter -= group["lr"] * params.sign_damping * parameter.grad.sign()
                        self.state[parameter]["steps"] = torch.ones(())

    return SignDescent(groups)
'''
AVERAGE = '''"""Plain mean of the weights at the ends of epochs."""

from fewer.core.config import Flag, Section
from fewer.optim.average import floats

EVALUATED = True


class Params(Section):
    epoch_mean: Flag = False


class EpochMean:
    def __init__(self):
        self.mean, self.epochs = {}, 0

    def update(self, models, samples, step, progress):
        return

    def end_epoch(self, models):
        self.epochs += 1
        for name, value in floats(models[0]).items():
            mean = self.mean.setdefault(name, value.clone())
            mean += (value - mean) / self.epochs

    def load_into(self, model):
        model.load_state_dict(self.mean, strict=False)

    def state_dict(self):
        return {"mean": self.mean, "epochs": self.epochs}

    def load_state_dict(self, state, model):
        self.mean, self.epochs = dict(state["mean"]), state["epochs"]


def build(params, model, setting):
    return EpochMean()
'''
FILES = {
    "by_turns": ("fewer.select", METHOD),
    "brier": ("fewer.losses", LOSS),
    "root": ("fewer.schedules", SCHEDULE),
    "sign": ("fewer.optimizers", OPTIMIZER),
    "epoch_mean": ("fewer.averages", AVERAGE),
}
RECIPE = """
[data]
source = "digits"
val = "none"
test = "60%"
[model]
name = "lenet5"
width = 0.2
[task]
loss = "brier"
brier_scale = 2.0
[train]
epochs = 2
batch_size = 64
optimizer = "sign"
sign_damping = 0.5
lr = 0.001
schedule = "root"
root_floor = 0.05
epoch_mean = true
precision = "fp32"
[select]
method = "by_turns"
[out]
plots = false
previews = false
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip would leave it: a package, and its metadata with entry points."""
    site = tmp_path_factory.mktemp("site")
    (site / "plug").mkdir()
    (site / "plug" / "__init__.py").write_text('"""Plug-ins."""\n')
    for name, (_, text) in FILES.items():
        (site / "plug" / f"{name}.py").write_text(text)
    metadata = site / "plug-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    groups = [f"[{group}]\n{name} = plug.{name}\n" for name, (group, _) in FILES.items()]
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    return site


def fewer(site: Path | None, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = [str(site) if site else "", *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "fewer", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_a_recipe_trains_with_another_packages_plug_ins(site: Path, tmp_path: Path) -> None:
    (tmp_path / "plug.toml").write_text(RECIPE)
    done = fewer(site, tmp_path, "train", "plug.toml", "--out", "run")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["ledger"]["effective_epochs"] == pytest.approx(1.0, abs=0.01), "half of the images, two times"
    assert result["metrics"]["test/raw/loss"] != result["metrics"]["test/loss"], "the average is what is evaluated"
    # The run folder speaks for itself: it is resumed, and evaluated.
    again = fewer(site, tmp_path, "resume", "run", "train.epochs=3")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 3


def test_methods_lists_another_packages_methods(site: Path, tmp_path: Path) -> None:
    listed = fewer(site, tmp_path, "methods")
    assert "by_turns" in listed.stdout
    assert "Every other sample, by turns." in listed.stdout
    shown = fewer(site, tmp_path, "methods", "by_turns")
    assert "turns = 2\n      How many turns there are." in shown.stdout


def test_keys_of_another_package_are_checked_as_our_own(site: Path, tmp_path: Path) -> None:
    (tmp_path / "plug.toml").write_text(RECIPE)
    keys = ["select.truns=3", "train.sign_damping=0.0", "train.momentum=0.5", "task.focal_gamma=2", "train.warmup=9ep"]
    problems = "".join(fewer(site, tmp_path, "plan", "plug.toml", key).stderr for key in keys)
    for said in (
        'unknown key "select.truns"; did you mean "select.turns"?',
        "train.sign_damping = 0.0 moves nothing; give more",
        'unknown key "train.momentum"; it belongs to train.optimizer = "larc", "lars", "muon", "sgd"; "sign" has sign_',
        'unknown key "task.focal_gamma"; it belongs to task.loss = "focal"; "brier" has brier_scale',
        'train.warmup = "9ep" is longer than the run of 2 epochs',
    ):
        assert said in problems


def test_without_the_package_its_names_are_unknown_and_other_runs_do_not_need_it(site: Path, tmp_path: Path) -> None:
    (tmp_path / "plug.toml").write_text(RECIPE)
    missing = fewer(None, tmp_path, "plan", "plug.toml")
    assert missing.returncode == 2
    for said in ('unknown train.optimizer "sign"', 'unknown task.loss "brier"', 'unknown select.method "by_turns"'):
        assert said in missing.stderr
    code = (
        "from fewer.recipe.parse import parse_recipe\n"
        'print(parse_recipe({"data": {"source": "digits"}, "model": {"name": "lenet5"}}).to_toml())'
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])}
    written = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "epoch_mean" not in written.stdout, "a package that is not used leaves no keys behind"
