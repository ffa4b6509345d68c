"""The laws of a run, each as a check of one recipe. `python -m fewer.testing.laws 100` checks a hundred random ones."""

from __future__ import annotations

import copy
import random
import sys
from typing import Any

import torch

from fewer.select.registry import METHODS
from fewer.session.build import Session
from fewer.testing.draw import draw_recipe
from fewer.testing.flops import FlopsFromShapes
from fewer.testing.harness import Content, begun, interrupted, looked_at, session_of, trained, weights
from fewer.testing.ranks import on_ranks
from fewer.training.loop import Row, train


def off_is_plain(content: Content, neutral: list[Content] | None = None) -> None:
    """Law 1: a selector at a neutral setting, its own or one of those given, gives the plain run, bit for bit."""
    plain = weights(trained({**content, "select": {"method": "full"}}))
    draws_sides = any("ramp" in stage for stage in content.get("stages", ()))  # which excludes a choice in the batch
    settings = [each for each in METHODS.neutral() if not (draws_sides and "fresh" in each.values())]
    for select in neutral or [settings[content["train"]["seed"] % len(settings)]]:
        assert weights(trained({**content, "select": select})) == plain, f"{select} is not neutral"


def looking_changes_nothing(content: Content, unwatched: Session) -> None:
    """Law 2: a run that is evaluated and hashed after every batch equals one that never was."""
    assert trained(content, look=looked_at).run.digest() == unwatched.run.digest(), "looking changed the run"


def resumed_is_never_stopped(content: Content, unstopped: Session, kills: list[int] | None = None) -> None:
    """Law 3: a run that was killed and resumed equals one that never stopped, bit for bit."""
    if kills is None:
        # The ledger holds steps of proxies and of a finder, too; in float16 all of a few steps may be skipped.
        batches = max(2, unstopped.run.cursor.step)
        kills = sorted(random.Random(content["train"]["seed"]).sample(range(1, batches + 1), 2))
    assert interrupted(content, kills).run.digest() == unstopped.run.digest(), f"killed after batches {kills}: differs"


def ranks_agree(content: Content, tolerance: float = 1e-9, ranks: int = 2) -> None:
    """Law 4: one process equals several, in float64; without BatchNorm, whose statistics are each rank's own."""
    content = copy.deepcopy(content)
    head = content["model"].get("head", "linear")
    content["model"] = {"name": "lenet5", "width": 0.1, "head": head}
    content["train"]["precision"] = "fp64"
    if content["select"].get("scoring"):
        content["select"]["scoring"] = "eval"
    if "sync" in content:  # workers that differ between syncs are simulated by the one process
        content["sync"]["workers"] = ranks
    alone = trained(content)
    ours, visits = _weights_and_visits(alone)
    for rank, (theirs, their_visits) in enumerate(on_ranks(ranks, _of_rank, content)):
        difference = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
        assert difference <= tolerance, f"rank {rank} of {ranks} differs from one process by {difference:.1e}"
        assert their_visits == visits, "the ranks' table differs from one process's"


def _of_rank(comm: Any, content: Content) -> tuple[list[float], list[int]]:
    return _weights_and_visits(trained(content, comm))


def _weights_and_visits(session: Session) -> tuple[list[float], list[int]]:
    parameters = session.run.workers[0].model.parameters()
    return torch.cat([p.detach().flatten() for p in parameters]).tolist(), session.run.selection.table.visits_N.tolist()


def equal_stages_are_one(content: Content) -> None:
    """Law 5: a stage cut into two equal ones gives the same run, bit for bit; but for what belongs to its start.

    A strength that changes is cut, too.
    """
    content = {**content, "train": {**content["train"], "schedule_over": "run"}}
    stage = {**content["stages"][0], "epochs": 3}
    stage.pop("lr_ramp", None)
    first, second = {**stage, "epochs": 1}, {**stage, "epochs": 2}
    if isinstance(stage.get("strength"), list):
        low, high = stage["strength"]
        first["strength"], second["strength"] = low, [low + (high - low) / 2, high]
    one = trained({**content, "stages": [stage]})
    two = trained({**content, "stages": [first, second]})
    assert weights(one) == weights(two), "two equal stages differ from one"


def ledger_is_what_happened(content: Content) -> None:
    """Law 6: samples, steps and FLOPs counted from outside, by hooks and from shapes, are those of the ledger.

    No features are kept: a head that trains on these alone never passes the layer that samples are counted at. There is
    one worker: what each of several does to its own weights, as Muon does, is booked once.
    """
    stages = [{**stage, "keep_features": "no"} for stage in content.get("stages", [])]
    sync = {**content.get("sync", {}), "workers": 1}
    session = begun(session_of({**content, "stages": stages, "sync": sync}))
    run = session.run
    names = ("samples_forwarded", "samples_backpropagated", "optimizer_steps", "samples_loaded", "flops")
    before = {name: run.ledger.total(name) for name in names}  # other models' work, and what is looked at first
    counts = dict.fromkeys(names, 0)
    model, batches = run.workers[0].model, session.train_data.batches
    first = next(module for module in model.modules() if not list(module.children()))

    def forwarded(module: Any, arguments: Any, output: torch.Tensor) -> None:
        counts["samples_forwarded"] += len(output)
        if torch.is_grad_enabled():
            counts["samples_backpropagated"] += len(output)

    def loading(requests: Any) -> Any:
        for batch in batches(requests):
            counts["samples_loaded"] += len(batch)
            yield batch

    def stepped(*_: Any) -> None:
        counts["optimizer_steps"] += 1

    first.register_forward_hook(forwarded)
    run.workers[0].optimizer.register_step_post_hook(stepped)
    session.train_data.batches = loading  # type: ignore[method-assign]
    with FlopsFromShapes() as flops:
        rows: list[Row] = list(train(session.task, session.train_data, run))
    session.book_decoding()
    counts["flops"] = flops.total
    for name in names:
        assert counts[name] == run.ledger.total(name) - before[name], name
    assert counts["samples_backpropagated"] == sum(row.kept for row in rows), "rows do not add up"


def check_laws(content: Content) -> None:
    """All six laws for one recipe."""
    unstopped = trained(content)
    looking_changes_nothing(content, unstopped)
    resumed_is_never_stopped(content, unstopped)
    off_is_plain(content)
    equal_stages_are_one(content)
    ledger_is_what_happened(content)
    ranks_agree(content)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 12):
        recipe = draw_recipe(seed)
        try:
            check_laws(recipe)
        except Exception as error:
            print(f"seed {seed}: {type(error).__name__}: {error}\n  {recipe}")
        else:
            print(f"seed {seed}: all laws hold")
