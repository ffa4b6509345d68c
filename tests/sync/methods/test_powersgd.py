"""PowerSGD: equal to an independent version in numpy, exact at full rank, and nothing that is not sent is lost."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from fewer.core.errors import RecipeError
from fewer.core.types import Worker
from fewer.sync.comm import SingleProcess
from fewer.sync.methods.powersgd import Params, PowerSGD, is_sent_thin, step_traffic
from fewer.testing.harness import interrupted, one_thread, trained
from fewer.testing.ranks import on_ranks

Matrix = npt.NDArray[np.float64]
WORKERS, STEPS = 3, 5
CONTENT: dict[str, Any] = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 24, "lr": 0.05, "precision": "fp64"},
    "stages": [{"epochs": 2, "side_px": 16}],
    "sync": {"method": "powersgd", "matrix_rank": 1, "start_step": 2, "workers": 2},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def _workers(scaled: bool = False) -> list[Worker]:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(9, 7)).double()
    scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    models = [copy.deepcopy(model) for _ in range(WORKERS)]
    return [Worker(id, each, torch.optim.SGD(each.parameters(), 0.1), scaler) for id, each in enumerate(models)]


def _give_gradients(workers: list[Worker], step: int) -> list[dict[str, Matrix]]:
    """Made-up gradients that change slowly, as those of training do."""
    given = []
    for worker in workers:
        noise, found = torch.Generator().manual_seed(worker.id), dict[str, Matrix]()
        for name, parameter in worker.model.named_parameters():
            lasting, new = (torch.randn(parameter.shape, generator=noise, dtype=torch.float64) for _ in range(2))
            parameter.grad = lasting + 0.3 * (step + 1) * new
            found[name] = parameter.grad.reshape(parameter.shape[0], -1).numpy().copy()
        given.append(found)
    return given


class Reference:
    """Algorithms 1 and 2 of the paper for sums, by Gram and Schmidt's method."""

    def __init__(self, direction: Matrix) -> None:
        self.direction = direction
        self.errors: list[Matrix] = []

    def __call__(self, gradients: list[Matrix]) -> Matrix:
        errors = self.errors or [np.zeros_like(each) for each in gradients]
        matrices = [gradient + error for gradient, error in zip(gradients, errors, strict=True)]
        left = np.sum([matrix @ self.direction for matrix in matrices], axis=0)
        for column in range(left.shape[1]):
            for before in range(column):
                left[:, column] -= (left[:, before] @ left[:, column]) * left[:, before]
            left[:, column] /= np.linalg.norm(left[:, column])
        rights = [matrix.T @ left for matrix in matrices]
        self.errors = [matrix - left @ right.T for matrix, right in zip(matrices, rights, strict=True)]
        self.direction = np.sum(rights, axis=0)
        return np.asarray(left @ self.direction.T)


def test_sums_are_those_of_an_independent_version() -> None:
    workers, sync = _workers(), PowerSGD(SingleProcess(), WORKERS, rank=2, start_step=0)
    references: dict[str, Reference] = {}
    for step in range(STEPS):
        given = _give_gradients(workers, step)
        sync.sync_gradients(workers)
        for name, parameter in workers[0].model.named_parameters():
            gradients = [each[name] for each in given]
            expected = np.sum(gradients, axis=0)
            if is_sent_thin(parameter.shape, 2):
                if name not in references:
                    noise = torch.Generator().manual_seed(len(name))
                    drawn = torch.randn(gradients[0].shape[1], 2, generator=noise, dtype=torch.float64)
                    references[name] = Reference(drawn.numpy())
                expected = references[name](gradients)
            assert parameter.grad is not None
            found = parameter.grad.reshape(parameter.shape[0], -1).numpy()
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
            for other in workers[1:]:
                assert torch.equal(dict(other.model.named_parameters())[name].grad, parameter.grad)
    assert len(references) == 2, "both matrices are sent thin, else nothing was compared"


def test_what_is_applied_and_what_is_still_owed_add_up_to_what_was_computed() -> None:
    workers, sync = _workers(), PowerSGD(SingleProcess(), WORKERS, rank=1, start_step=0)
    computed, applied = dict[str, Matrix](), dict[str, Matrix]()
    for step in range(STEPS):
        given = _give_gradients(workers, step)
        sync.sync_gradients(workers)
        for name, parameter in workers[0].model.named_parameters():
            assert parameter.grad is not None
            computed[name] = computed.get(name, 0.0) + np.sum([each[name] for each in given], axis=0)
            applied[name] = applied.get(name, 0.0) + parameter.grad.reshape(parameter.shape[0], -1).numpy()
    for name, total in computed.items():
        owed = sum(errors[name].numpy() for errors in sync.errors_L) if name in sync.errors_L[0] else 0.0
        np.testing.assert_allclose(applied[name] + owed, total, rtol=0, atol=1e-9)


def test_a_gradient_of_the_rank_that_is_sent_arrives_whole() -> None:
    workers, sync = _workers(), PowerSGD(SingleProcess(), WORKERS, rank=2, start_step=0)
    noise = torch.Generator().manual_seed(1)
    expected = dict[str, torch.Tensor]()
    left, right = (torch.randn(size, 2, generator=noise, dtype=torch.float64) for size in (8, 27))
    for worker in workers:
        for name, parameter in worker.model.named_parameters():
            mixed = left @ torch.diag(torch.tensor([1.0 + worker.id, 2.0 - worker.id], dtype=torch.float64)) @ right.T
            parameter.grad = mixed.reshape(8, 3, 3, 3) if name == "0.weight" else torch.ones_like(parameter)
            expected[name] = expected.get(name, torch.zeros_like(parameter)) + parameter.grad
    sync.sync_gradients(workers)
    for name, parameter in workers[0].model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].detach(), rtol=0, atol=1e-9)


def test_bytes_are_those_of_thin_matrices() -> None:
    workers, sync = _workers(), PowerSGD(SingleProcess(), WORKERS, rank=2, start_step=1)
    sync.comm.machines = WORKERS
    shapes = [tuple(parameter.shape) for parameter in workers[0].model.parameters()]
    numbers = [sum(p.numel() for p in workers[0].model.parameters()), 2 * (8 + 27) + 8 + 2 * (7 + 9) + 7]
    assert step_traffic(Params(matrix_rank=2), shapes, 8) == (8 * numbers[1], 2)
    for step in range(2):
        _give_gradients(workers, step)
        sync.sync_gradients(workers)
        assert sync.comm.take_bytes_sent() == pytest.approx(2 * 2 * numbers[step] * 8, abs=16)


def test_fp16_is_refused() -> None:
    workers, sync = _workers(scaled=True), PowerSGD(SingleProcess(), WORKERS, start_step=0)
    with pytest.raises(RecipeError, match=r'set train\.precision = "bf16"'):
        sync.sync_gradients(workers)


def test_errors_of_other_workers_are_shared_out() -> None:
    workers, sync = _workers(), PowerSGD(SingleProcess(), WORKERS, rank=1, start_step=0)
    _give_gradients(workers, 0)
    sync.sync_gradients(workers)
    other = PowerSGD(SingleProcess(), 2, rank=1)
    other.load_state_dict(copy.deepcopy(sync.state_dict()))
    for name, error in sync.errors_L[0].items():
        owed = sum(each[name] for each in sync.errors_L)
        torch.testing.assert_close(2 * other.errors_L[0][name], owed)
        assert float(error.abs().max()) > 0


def _digest(comm: Any, content: dict[str, Any], folder: str) -> str:
    kills = [5] if folder else []
    run = (interrupted(content, kills, comm, folder) if folder else trained(content, comm)).run
    return str(run.digest())


def test_runs_are_resumed_exactly_and_simulated_workers_are_processes(tmp_path: Any) -> None:
    whole = _digest(None, CONTENT, "")
    assert _digest(None, CONTENT, str(tmp_path / "one")) == whole
    (tmp_path / "two").mkdir()
    assert on_ranks(2, _digest, CONTENT, str(tmp_path / "two")) == [whole] * 2
