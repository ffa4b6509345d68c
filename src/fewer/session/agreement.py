"""The agreement of ranks before they train together: the same recipe, data, code and first weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.errors import DataError, RecipeError, ResourceError
from fewer.recipe.schema import flat
from fewer.sync.comm import unbooked
from fewer.sync.gathering import gathered_json
from fewer.training.run import state_digest

if TYPE_CHECKING:
    from fewer.core.protocols import Comm
    from fewer.data.listing.splits import Splits
    from fewer.plan.plan import Plan
    from fewer.training.run import Run

# Paths may differ between machines: what lies there is compared instead. What is kept where is each rank's own.
_OWN = ("out.", "data.source", "data.val", "data.test", "data.labels.csv", "data.store", "data.cache", "data.processes",
        "data.in_memory", "model.weights", "select.reference")  # fmt: skip
_SHOWN = 5  # keys that a message lists
_DIGITS = 12  # of a hash


def refuse_other_ranks(comm: Comm, plan: Plan, splits: Splits) -> None:
    """Compares what this rank is about to train with what rank 0 is; every rank must call it, and all raise alike.

    Args:
        comm: The exchange between ranks.
        plan: What this rank will do.
        splits: The data that it has listed.

    Raises:
        RecipeError: A rank has another recipe.
        DataError: A rank has other data.
        ResourceError: A rank runs other code.
    """
    if comm.world_size == 1:
        return
    mine = {
        "code": _code(),
        "data": splits.fingerprint,
        "weights": plan.facts.model.weights,
        "recipe": {key: value for key, value in _keys(plan).items() if not key.startswith(_OWN)},
    }
    with unbooked(comm):
        first, *others = gathered_json(mine, comm)
    for rank, theirs in enumerate(others, start=1):
        _compare(rank, first, theirs)


def refuse_other_starts(run: Run) -> None:
    """Compares the first weights of all workers, which broadcasting has made equal; every rank must call it.

    Raises:
        ResourceError: A worker holds others: hardware, or a broken link.
    """
    if run.sync.workers == 1:
        return
    hashes = [int(state_digest(dict(worker.model.state_dict()))[:15], 16) for worker in run.workers]
    with unbooked(run.comm):
        found = run.comm.gather(torch.tensor(hashes)).tolist()
    others = [worker for worker, each in enumerate(found) if each != found[0]]
    if others:
        raise ResourceError(
            f"worker {others[0]} begins with other weights than worker 0, although all were sent the same; check the "
            "machine that it runs on, and the network"
        )


def _compare(rank: int, first: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    who = f"rank {rank} differs from rank 0"
    if first["code"] != theirs["code"]:
        versions = f"{theirs['code']} there, {first['code']} on rank 0"
        raise ResourceError(f"{who} in its code ({versions}); install the same version everywhere")
    if first["recipe"] != theirs["recipe"]:
        keys = sorted({*first["recipe"], *theirs["recipe"]})
        pairs = [(key, theirs["recipe"].get(key), first["recipe"].get(key)) for key in keys]
        changed = [f"{key} = {json.dumps(a)} there, {json.dumps(b)} on rank 0" for key, a, b in pairs if a != b]
        more = f" and {len(changed) - _SHOWN} more keys" if len(changed) > _SHOWN else ""
        raise RecipeError(f"{who} in its recipe: {'; '.join(changed[:_SHOWN])}{more}; start all with the same recipe")
    for key, what in (("data", "data"), ("weights", "first weights")):
        if first[key] != theirs[key]:
            hashes = f"{theirs[key][:_DIGITS] or 'none'} there, {first[key][:_DIGITS] or 'none'} on rank 0"
            raise DataError(f"{who} in its {what} (fingerprint {hashes}); give all ranks the same files")


def _keys(plan: Plan) -> dict[str, Any]:
    """The keys of the plan's recipe, in which `auto` is what it became on this machine."""
    return flat(plan.recipe.model_dump(mode="json"))


def _code() -> str:
    """A hash of this package's own files, and the version of torch."""
    root, hasher = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        hasher.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"fewer {hasher.hexdigest()[:_DIGITS]} with torch {torch.__version__}"
