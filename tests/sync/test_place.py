"""The place of a process among ranks, as launchers tell it."""

from __future__ import annotations

import pytest

from fewer.core.errors import RecipeError
from fewer.sync.limits import Limits
from fewer.sync.place import Place, first_host, is_rank, place_of

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "10.0.0.7", "MASTER_PORT": "29500"}
SRUN = {
    "SLURM_JOB_ID": "40123",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_NODELIST": "gpu-[03-04,09],login",
}


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, None),
        ({"RANK": "0", "WORLD_SIZE": "1"}, None),
        (TORCHRUN, Place(3, 4, 1, "10.0.0.7", 29500)),
        ({key: text for key, text in TORCHRUN.items() if key != "LOCAL_RANK"}, Place(3, 4, 0, "10.0.0.7", 29500)),
        (SRUN, Place(5, 8, 1, "gpu-03", 10123)),
        ({**SRUN, "SLURM_STEP_NODELIST": "gpu-04", "MASTER_PORT": "777"}, Place(5, 8, 1, "gpu-04", 777)),
        ({**SRUN, "MASTER_ADDR": "head"}, Place(5, 8, 1, "head", 10123)),
        ({**SRUN, **TORCHRUN}, Place(3, 4, 1, "10.0.0.7", 29500)),  # torchrun inside srun
        ({**SRUN, "RANK": "0", "WORLD_SIZE": "1"}, None),
        ({**SRUN, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, None),
        ({key: text for key, text in SRUN.items() if key != "SLURM_STEP_ID"}, None),  # the script of a job
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_NODELIST": "a,b"}, Place(1, 2, 0, "a", 10000)),
    ],
)
def test_places(environment: dict[str, str], place: Place | None) -> None:
    assert place_of(environment) == place
    assert is_rank(environment) == (place is not None)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node7", "node7"),
        ("node7,node8", "node7"),
        ("node[07-11,3]", "node07"),
        ("node[3,07-11],other[1-2]", "node3"),
        ("rack[2-3]n[05-08].site", "rack2n05.site"),
    ],
)
def test_the_first_machine_of_a_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({**TORCHRUN, "MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        ({"WORLD_SIZE": "2"}, "RANK is not set"),
        ({**TORCHRUN, "WORLD_SIZE": "two"}, 'WORLD_SIZE is "two"'),
        ({**TORCHRUN, "RANK": "4"}, "rank 4 of 4 processes; allowed: 0 to 3"),
        ({**TORCHRUN, "MASTER_PORT": "70000"}, "MASTER_PORT is 70000; allowed: 1 to 65535"),
        ({**SRUN, "SLURM_JOB_NODELIST": ""}, "set MASTER_ADDR"),
    ],
)
def test_places_that_cannot_be(environment: dict[str, str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        place_of(environment)


def test_limits() -> None:
    assert Limits.of({}) == Limits(300, 60, 1800)
    assert Limits.of({"FEWER_RANK_TIMEOUT": "3"}) == Limits(300, 3, 1800)
    assert Limits(silence=3).beat == 0.5
    for text in ("never", "0", "inf"):
        with pytest.raises(RecipeError, match=f'FEWER_JOIN_TIMEOUT is "{text}"; allowed: seconds'):
            Limits.of({"FEWER_JOIN_TIMEOUT": text})
