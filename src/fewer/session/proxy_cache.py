"""The cache of proxies' choices: one file a proxy in the user's cache folder, as bits by epoch and image."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from fewer.core.choices import Choices
from fewer.core.ledger import EXACT, LOCAL
from fewer.data.cache import cache_folder, keep
from fewer.plan.facts import workers_of
from fewer.session.proxy_plan import params_of

if TYPE_CHECKING:
    from fewer.core.protocols import Comm
    from fewer.plan.plan import Plan
    from fewer.session.build import Session

_MEANING = 1  # of what is kept; a change of how a proxy chooses raises it
_ABOUT = "about"  # the file's entry of metadata


@dataclass(frozen=True)
class Kept:
    """What a proxy has chosen.

    Attributes:
        choices: Of every epoch.
        share: Of the images that were shown.
        counts: Entries of its ledger, over all its epochs; of what ranks did on their own, those of rank 0.
        seconds: What it took, at the time.
    """

    choices: Choices
    share: float
    counts: dict[str, int]
    seconds: float


def key_of(session: Session, plan: Plan, share: float) -> str:
    """A hash of all that shapes the choices: the proxy's plan and seeds, the images and labels, share, precision."""
    machine = plan.facts.machine
    about = [
        _MEANING,
        plan.digest,
        plan.recipe.train.seed_of_data,
        session.splits.fingerprint,
        share,
        params_of(session.plan.recipe).proxy_every,
        params_of(session.plan.recipe).rank_within,
        plan.precision,
        machine.device,
        workers_of(plan.recipe, machine),
        torch.__version__,
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def read(key: str, comm: Comm, epochs: int, size: int) -> Kept | None:
    """What is kept under a key, as process 0 knows it; nothing where its file is missing or damaged.

    Args:
        key: As `key_of` gives it.
        comm: How processes exchange tensors.
        epochs: Of the run, E.
        size: Ids of the source, N.
    """
    found = _read(_file(key), epochs, size) if comm.rank == 0 else None
    if comm.world_size == 1:
        return found
    return _of_rank_0(found, comm, epochs, size)


def write(key: str, kept: Kept) -> None:
    """Keeps what a proxy has chosen, for `read`."""
    about = {"size": kept.choices.size, "share": kept.share, "counts": kept.counts, "seconds": kept.seconds}
    keep(_file(key), save({"bits": kept.choices.bits_EK}, {_ABOUT: json.dumps(about)}))


def _file(key: str) -> Path:
    return cache_folder() / f"{key}.proxy.safetensors"


def _read(file: Path, epochs: int, size: int) -> Kept | None:
    """The content of a file that may hold anything."""
    try:
        with safe_open(file, "pt") as opened:
            about, bits_EK = json.loads((opened.metadata() or {})[_ABOUT]), opened.get_tensor("bits")
        kept = _kept(about, bits_EK)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return kept if kept.choices.epochs == epochs and kept.choices.size == size else None


def _kept(about: dict[str, Any], bits_EK: torch.Tensor) -> Kept:
    """What a file holds, if it makes sense."""
    counts = {name: about["counts"][name] for name in EXACT + LOCAL}
    numbers = float(about["share"]), float(about["seconds"])
    if not all(type(count) is int and count >= 0 for count in counts.values()) or not all(map(math.isfinite, numbers)):
        raise ValueError("no ledger")
    return Kept(Choices(bits_EK, about["size"]), numbers[0], counts, numbers[1])


def _of_rank_0(found: Kept | None, comm: Comm, epochs: int, size: int) -> Kept | None:
    """What process 0 has, on every process; what this sends is no part of training."""
    names, numbers = EXACT + LOCAL, torch.zeros(3 + len(EXACT + LOCAL), dtype=torch.float64)
    bits_EK = torch.zeros(epochs, -(-size // 8), dtype=torch.uint8)
    if found:
        numbers.copy_(torch.tensor([1.0, found.share, found.seconds, *map(float, found.counts.values())]))
        bits_EK.copy_(found.choices.bits_EK)
    comm.broadcast([numbers, bits_EK])
    comm.take_bytes_sent()
    is_there, share, seconds, *counts = numbers.tolist()
    if not is_there:
        return None
    return Kept(Choices(bits_EK, size), share, dict(zip(names, map(int, counts), strict=True)), seconds)
