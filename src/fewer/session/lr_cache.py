"""The cache of the learning-rate finder: the sweeps of each setting, one file a setting in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.ledger import EXACT, LOCAL
from fewer.core.types import Stage
from fewer.data.cache import cache_folder, keep
from fewer.plan.facts import workers_of
from fewer.plan.lr_finder import Range
from fewer.runs.record import read_object
from fewer.session.lr_sweep import Sweep, sweep_plan

if TYPE_CHECKING:
    from fewer.core.protocols import Comm
    from fewer.session.build import Session

_MEANING = 1  # of what is kept; a change of how sweeps are done raises it


def key_of(session: Session, stage: Stage, rates: Range, repeats: int) -> str:
    """A hash of all that shapes the sweeps: recipe, seed, side, batch size, images and labels, weights, precision."""
    plan = session.plan
    short = sweep_plan(plan, stage, rates, 0)
    about = [
        _MEANING,
        short.digest,
        plan.recipe.train.seed,
        session.splits.fingerprint,
        asdict(rates),
        repeats,
        short.constant_momentum,
        plan.precision,
        plan.facts.machine.device,
        workers_of(plan.recipe, plan.facts.machine),
        torch.__version__,
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def read(key: str, comm: Comm) -> dict[str, Any] | None:
    """What was found for a setting, as process 0 knows it; nothing where its file is missing or damaged."""
    content = _content(_file(key)) if comm.rank == 0 else None
    return content if comm.world_size == 1 else _of_rank_0(content, comm)


def write(key: str, content: dict[str, Any]) -> None:
    """Keeps what was found for a setting, for `read`."""
    keep(_file(key), json.dumps(content).encode())


def content_of(sweep: Sweep) -> dict[str, Any]:
    """A sweep as JSON holds it."""
    return asdict(sweep)


def sweep_of(content: dict[str, Any]) -> Sweep:
    """The sweep in what `content_of` gave."""
    return Sweep(**{**content, "rates": tuple(content["rates"]), "losses": tuple(content["losses"])})


def _file(key: str) -> Path:
    return cache_folder() / f"{key}.lr-find.json"


def _content(file: Path) -> dict[str, Any] | None:
    """The content of a file that may hold anything."""
    try:
        content = read_object(file)
        sweeps = [sweep_of(each) for each in content["sweeps"]]
        numbers = [float(value) for each in sweeps for value in (*each.rates, *each.losses, content["seconds"])]
        whole = [each.counts[name] >= 0 for each in sweeps for name in EXACT + LOCAL]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    is_sound = bool(sweeps) and all(whole) and all(abs(number) < float("inf") for number in numbers)
    return content if is_sound else None


def _of_rank_0(content: dict[str, Any] | None, comm: Comm) -> dict[str, Any] | None:
    """What process 0 has, on every process; what this sends is no part of training."""
    text = json.dumps(content).encode()
    length = torch.tensor([len(text) if comm.rank == 0 else 0])
    comm.broadcast([length])
    shared = torch.zeros(int(length), dtype=torch.uint8)
    if comm.rank == 0:
        shared.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
    comm.broadcast([shared])
    comm.take_bytes_sent()
    found: dict[str, Any] | None = json.loads(bytes(shared.tolist()))
    return found
