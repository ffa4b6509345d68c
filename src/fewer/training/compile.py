"""The compiled training forward: at most two batch sizes a stage are compiled, all else runs as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, final

import torch

from fewer.core.abilities import CompiledInPart
from fewer.core.errors import ResourceError, printable
from fewer.core.types import Forward, Stage, State

if TYPE_CHECKING:
    from torch import Tensor, nn

_SIZES = 2  # batch sizes that are compiled in a stage: an epoch's batches differ by at most one
_REASON_MAX = 300  # characters of a compiler's complaint


@final
class Compiler:
    """Compiles the forwards of training with torch.compile; scoring and evaluation use the model as it is.

    Which sizes are compiled is part of the run's state, and so is a failure: compiled arithmetic rounds differently,
    and a resumed run has to go on with the same.

    Args:
        required: Whether a failure is an error.
        channels_last: Whether inputs have their channels last; another layout would be compiled again.
        phase: Books the seconds of first calls, as `Ledger.phase("compile")` does.
        on_failure: Told once what has failed.
        backend: A backend of torch.compile.
    """

    def __init__(
        self,
        required: bool,
        channels_last: bool,
        phase: Callable[[], AbstractContextManager[None]],
        on_failure: Callable[[str], None],
        backend: str | Callable[..., Any] = "inductor",
    ) -> None:
        self.required, self.phase, self.on_failure, self.backend = required, phase, on_failure, backend
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.stage, self.sizes, self.failure = -1, list[int](), ""
        self._calls: dict[tuple[Any, ...], Forward] = {}

    def forward(self, model: nn.Module, stage: Stage, sizes: Sequence[int]) -> Forward:
        """What to call in an epoch: the compiled model for the stage's first two sizes, else the model.

        Args:
            model: The bare model, ready for the epoch.
            stage: The epoch's stage.
            sizes: Sizes of the epoch's batches as they reach the model, the most frequent first.
        """
        if stage.index != self.stage:
            self.stage, self.sizes = stage.index, []
        self.sizes += [size for size in sizes if size not in self.sizes][: _SIZES - len(self.sizes)]
        # Layers that freeze change the graph.
        key = (stage.index, id(model), tuple(parameter.requires_grad for parameter in model.parameters()))
        if key not in self._calls:
            self._calls = {kept: call for kept, call in self._calls.items() if kept[0] == stage.index}
            self._calls[key] = self._compiled(model)
        return self._calls[key]

    def _compiled(self, model: nn.Module) -> Forward:
        part: Forward = model.dense if isinstance(model, CompiledInPart) else model
        call = torch.compile(_with_code_of_its_own(part, id(model)), dynamic=False, backend=self.backend)
        called: set[tuple[int, ...]] = set()

        def forward(inputs: Tensor, *targets: Any) -> Any:
            size, shape = len(inputs), tuple(inputs.shape)
            if self.failure or size not in self.sizes or not torch.is_grad_enabled():
                return model(inputs, *targets)
            if inputs.dim() == 4:
                inputs = inputs.contiguous(memory_format=self.layout)
            if shape in called:
                output = call(inputs)
            else:
                called.add(shape)
                output = self._first(call, model, part, inputs)
            return model.finish(output, inputs, *targets) if isinstance(model, CompiledInPart) else output

        return forward

    def _first(self, call: Forward, model: nn.Module, part: Forward, inputs: Tensor) -> Any:
        before = [buffer.clone() for buffer in model.buffers()]
        with self.phase(), _backward_at_once():
            try:
                return call(inputs)
            except Exception as error:  # whatever a compiler raises; the model's own errors come again below
                self._fail(error)
        for buffer, value in zip(model.buffers(), before, strict=True):
            buffer.copy_(value)
        return part(inputs)

    def _fail(self, error: Exception) -> None:
        # The first line names the backend, the second what it has met; what follows is for the compiler's authors.
        lines = [text for line in str(error).splitlines() if (text := printable(line).strip())]
        lines = [line for line in lines if not line.startswith("Set TORCH")]  # which asks for a report to PyTorch
        reason = " ".join([f"{type(error).__name__}:", *lines[:2]])[:_REASON_MAX]
        if self.required:
            raise ResourceError(
                f'train.compile = "require": torch.compile failed: {reason}; '
                'install what it needs (on a CPU a C++ compiler), or set train.compile = "yes" to go on without'
            ) from error
        self.failure = reason
        self.on_failure(reason)

    def state_dict(self) -> State:
        return {"stage": self.stage, "sizes": list(self.sizes), "failure": self.failure}

    def load_state_dict(self, state: State) -> None:
        self.stage, self.sizes, self.failure = state["stage"], list(state["sizes"]), state["failure"]
        self._calls.clear()


def _backward_at_once() -> AbstractContextManager[None]:
    """Has torch compile the backward with the forward; by itself it waits for the first call of backward.

    Then its seconds are compilation's too, and its failure is a failure of compilation.
    """
    from torch._functorch import config

    option = "force_non_lazy_backward_lowering"
    if not hasattr(config, option):
        return nullcontext()
    changed: AbstractContextManager[None] = config.patch(option, True)
    return changed


def _with_code_of_its_own(part: Forward, number: int) -> Forward:
    """A function that calls a model's part. Dynamo counts graphs by code object, and gives up silently after eight."""

    def forward(inputs: Tensor) -> Any:
        return part(inputs)

    forward.__code__ = forward.__code__.replace(co_name=f"forward_{number}")
    return forward
