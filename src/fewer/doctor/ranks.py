"""Ranks of the doctor: each says where it runs and whether, and how fast, collective operations reach the others."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fewer.core.errors import ResourceError
from fewer.doctor.processes import together
from fewer.doctor.result import FAIL, OK, CheckResult
from fewer.sync.gathering import gathered_json

if TYPE_CHECKING:
    from fewer.core.protocols import Comm

_LIMITS = {"FEWER_JOIN_TIMEOUT": "60", "FEWER_RANK_TIMEOUT": "20", "FEWER_EXCHANGE_TIMEOUT": "30"}
_LARGE = 1 << 20  # numbers of float32: the size of a small net's gradients
_REPEATS, _LARGE_REPEATS = 20, 5


def on_this_machine(devices: int) -> list[CheckResult]:
    """Starts so many ranks here and says how each fares.

    Args:
        devices: How many; at most as many as there are GPUs or, without those, cores.

    Raises:
        RecipeError: There are fewer.
    """
    from fewer.sync.launch import require_devices

    require_devices(devices)
    return [judge(rank, found) for rank, found in enumerate(together("ranks", devices, _LIMITS))]


def as_one_of_several() -> list[CheckResult]:
    """How all ranks fare, on rank 0; nothing on the others. For a process that torchrun or srun has started."""
    from fewer.sync.joining import joined

    with joined() as comm:
        everybody = gathered(comm, measured(comm))
    return [judge(rank, found) for rank, found in enumerate(everybody)] if comm.rank == 0 else []


def measured(comm: Comm) -> dict[str, Any]:
    """Where this rank runs, and what collective operations do: a sum, a joined tensor, seconds and bytes a second."""
    import torch

    from fewer.machine.device import device_kind
    from fewer.machine.memory import available_bytes

    on_gpu = device_kind() == "cuda"
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    small, large = torch.ones(1, device=device), torch.ones(_LARGE, device=device)
    comm.all_reduce(small)
    joined = comm.gather(torch.tensor([comm.rank]))
    wire = 2 * (comm.world_size - 1) / comm.world_size * large.numel() * large.element_size()
    return {
        "host": socket.gethostname(),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "free_bytes": torch.cuda.mem_get_info()[0] if on_gpu else available_bytes(),
        "ranks": comm.world_size,
        "sum": float(small),
        "joined": joined.tolist(),
        "latency_s": _seconds(comm, small, _REPEATS),
        "bytes_per_second": wire / _seconds(comm, large, _LARGE_REPEATS),
    }


def judge(rank: int, found: Mapping[str, Any]) -> CheckResult:
    """The health line of a rank.

    Args:
        rank: Its number.
        found: What it has `measured`; with "error" if it did not come to an end.
    """
    name = f"rank {rank}"
    if error := found.get("error"):
        fix = "let firewalls pass; GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME name the network to use"
        return CheckResult(name, FAIL, f"cannot train with the others: {error}", fix)
    ranks, memory = found["ranks"], found["free_bytes"]
    where = [found["host"], found["device"], *([f"{memory / 2**30:.1f} GiB free"] if memory else [])]
    if found["sum"] != ranks or found["joined"] != list(range(ranks)):
        what = f"the sum over {ranks} ranks is {found['sum']:g}, and joined they are {found['joined']}"
        return CheckResult(name, FAIL, f"{', '.join(where)}: {what}", "start each rank once, with a RANK of its own")
    speed = f"{found['bytes_per_second'] / 1e6:,.0f} MB/s, {1e3 * found['latency_s']:.2f} ms"
    return CheckResult(name, OK, f"{', '.join(where)}, all_reduce over {ranks} ranks right, {speed}")


def gathered(comm: Comm, own: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What every rank has found, in the order of ranks."""
    found: list[dict[str, Any]] = gathered_json(own, comm)
    if len(found) != comm.world_size:
        raise ResourceError(f"{len(found)} answers of {comm.world_size} ranks; give each a RANK of its own")
    return found


def _seconds(comm: Comm, tensor: Any, repeats: int) -> float:
    """The median time of an all-reduce."""
    import torch

    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        comm.all_reduce(tensor)
        if tensor.is_cuda:  # untested: needs a GPU
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
