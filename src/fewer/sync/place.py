"""The place of a process among those that train together: which rank, of how many, and where they meet.

It comes from the environment: `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT`, as torchrun,
Kubeflow and our own launcher set them; or SLURM's variables in a step that `srun` has started. Needs no torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from fewer.core.errors import RecipeError

_FIRST_PORT, _PORTS = 10_000, 20_000  # below those that systems give to clients


@dataclass(frozen=True, slots=True)
class Place:
    """A process among those that train together.

    Attributes:
        rank: Its number, from 0.
        world_size: How many there are.
        local_rank: Its number on its machine; which GPU it takes.
        address: The machine of rank 0.
        port: Where rank 0 listens there.
    """

    rank: int
    world_size: int
    local_rank: int
    address: str
    port: int


def is_rank(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process was started as one of several."""
    return place_of(environment) is not None


def place_of(environment: Mapping[str, str] = os.environ) -> Place | None:
    """The place that a launcher gave to this process; None for one that is alone.

    Raises:
        RecipeError: Variables are missing, or do not fit each other.
    """
    if int_of(environment, "WORLD_SIZE", 1) > 1:
        return _checked(
            Place(
                int_of(environment, "RANK"),
                int_of(environment, "WORLD_SIZE"),
                int_of(environment, "LOCAL_RANK", 0),
                _text(environment, "MASTER_ADDR"),
                int_of(environment, "MASTER_PORT"),
            )
        )
    if "RANK" not in environment and _is_srun_step(environment):
        job = int_of(environment, "SLURM_JOB_ID", 0)
        return _checked(
            Place(
                int_of(environment, "SLURM_PROCID"),
                int_of(environment, "SLURM_NTASKS"),
                int_of(environment, "SLURM_LOCALID", 0),
                environment.get("MASTER_ADDR") or first_host(_nodes(environment)),
                int_of(environment, "MASTER_PORT", _FIRST_PORT + job % _PORTS),
            )
        )
    return None


def first_host(nodes: str) -> str:
    """The first machine of a list in SLURM's notation: `gpu-[03-07,11],login` begins with `gpu-03`."""
    first = re.split(r",(?![^\[]*\])", nodes.strip())[0]
    return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", first)


def int_of(environment: Mapping[str, str], name: str, otherwise: int | None = None) -> int:
    """A whole number of the environment.

    Raises:
        RecipeError: It is none, or is missing where nothing takes its place.
    """
    text = environment.get(name, "") if otherwise is not None else _text(environment, name)
    try:
        return int(text) if text or otherwise is None else otherwise
    except ValueError:
        raise RecipeError(
            f'the environment variable {name} is "{text}"; allowed: a whole number; launchers set it, so unset it'
        ) from None


def _is_srun_step(environment: Mapping[str, str]) -> bool:
    """Whether `srun` started this process as one of several; the script of a job is told of its tasks, too."""
    is_script = "SLURM_JOB_ID" in environment and "SLURM_STEP_ID" not in environment
    return "SLURM_PROCID" in environment and not is_script and int_of(environment, "SLURM_NTASKS", 1) > 1


def _nodes(environment: Mapping[str, str]) -> str:
    lists = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
    for name in lists:
        if nodes := environment.get(name):
            return nodes
    raise RecipeError(f"srun started several processes, but none of {', '.join(lists)} is set; set MASTER_ADDR")


def _text(environment: Mapping[str, str], name: str) -> str:
    if not (text := environment.get(name, "")):
        raise RecipeError(
            f"WORLD_SIZE says that this is one of several processes, but {name} is not set; torchrun, srun or "
            "`fewer train --devices N` sets it, and for a run of one process unset WORLD_SIZE"
        )
    return text


def _checked(place: Place) -> Place:
    if not 0 <= place.rank < place.world_size:
        raise RecipeError(
            f"rank {place.rank} of {place.world_size} processes; allowed: 0 to {place.world_size - 1}; "
            "give each process a RANK of its own"
        )
    if not 0 < place.port < 1 << 16:
        raise RecipeError(f"MASTER_PORT is {place.port}; allowed: 1 to 65535; set another")
    return place


__all__ = ["Place", "first_host", "int_of", "is_rank", "place_of"]
