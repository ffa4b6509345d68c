"""A counter of a net's FLOPs from the shapes at its calls, which shares nothing with the counter of plans.

It sees calls of torch's functions (`linear`, `conv2d`, `lstm`, ...) where `fewer.plan.flops` sees the operations that
autograd makes of them. Each call is a sum of products of two operands; the gradient of an operand takes as many FLOPs
as the product, and is counted when a gradient reaches the call's output.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.autograd.graph import register_multi_grad_hook
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from torch import Tensor


class Product(NamedTuple):
    """A product of two operands, or many of the same kind.

    Attributes:
        flops: Multiplies and adds of its forward.
        gradients: How many of its operands need a gradient; a fraction where one does in some products only.
    """

    flops: int
    gradients: float


class FlopsFromShapes(TorchFunctionMode):
    """Counts what runs inside it, such as a forward and a backward, or a whole training.

    Attributes:
        forward, backward: FLOPs so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forward = self.backward = 0

    @property
    def total(self) -> int:
        return self.forward + self.backward

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        products_of = _PRODUCTS.get(getattr(func, "__name__", ""))
        if products_of:
            self._count(list(products_of(out, *args, **(kwargs or {}))), out)
        return out

    def _count(self, products: Sequence[Product], out: Any) -> None:
        self.forward += sum(product.flops for product in products)
        backward = round(sum(product.flops * product.gradients for product in products))
        outputs = [each for each in (out if isinstance(out, tuple) else (out,)) if each is not None]
        with_gradient = [each for each in outputs if each.requires_grad]

        def arrived(_: object) -> None:
            self.backward += backward

        if with_gradient:
            register_multi_grad_hook(with_gradient, arrived, mode="any")


def _gradients(*operands: Tensor | None) -> int:
    return sum(operand is not None and operand.requires_grad for operand in operands)


# --- Products and convolutions -------------------------------------------------------------------------------------


def _matmul(out: Tensor, left: Tensor, right: Tensor, **_: Any) -> Iterator[Product]:
    yield Product(2 * out.numel() * left.shape[-1], _gradients(left, right))


def _rmatmul(out: Tensor, right: Tensor, left: Tensor) -> Iterator[Product]:
    yield from _matmul(out, left, right)


def _added_matmul(out: Tensor, _: Tensor, left: Tensor, right: Tensor, **__: Any) -> Iterator[Product]:
    yield from _matmul(out, left, right)


def _linear(out: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Iterator[Product]:
    yield Product(2 * out.numel() * weight.shape[-1], _gradients(input, weight))


def _einsum(out: Tensor, equation: str, *operands: Any) -> Iterator[Product]:
    tensors = operands[0] if len(operands) == 1 and not isinstance(operands[0], torch.Tensor) else operands
    letters, _, kept = equation.replace(" ", "").partition("->")
    if len(tensors) != 2 or "." in letters or not kept:
        raise NotImplementedError(f'einsum("{equation}") of {len(tensors)} tensors: count it by hand')
    sizes: dict[str, int] = {}
    for names, tensor in zip(letters.split(","), tensors, strict=True):
        sizes |= dict(zip(names, tensor.shape, strict=True))
    if set(sizes) - set(kept):  # without a sum it is no matrix product
        yield Product(2 * prod(sizes.values()), _gradients(*tensors))


def _convolution(out: Tensor, input: Tensor, weight: Tensor, *_: Any, **__: Any) -> Iterator[Product]:
    """Each value of the output sums over a kernel and the input channels of its group."""
    yield Product(2 * out.numel() * prod(weight.shape[1:]), _gradients(input, weight))


def _transposed(out: Tensor, input: Tensor, weight: Tensor, *_: Any, **__: Any) -> Iterator[Product]:
    """Each value of the input is spread over a kernel and the output channels of its group."""
    yield Product(2 * input.numel() * prod(weight.shape[1:]), _gradients(input, weight))


# --- Attention -----------------------------------------------------------------------------------------------------


def _attention(out: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Iterator[Product]:
    """Queries (..., L, E) with keys (..., S, E), and the weights (..., L, S) with values (..., S, V)."""
    weights = prod(query.shape[:-1]) * key.shape[-2]
    yield Product(2 * weights * query.shape[-1], _gradients(query, key))
    yield Product(2 * weights * value.shape[-1], bool(_gradients(query, key)) + _gradients(value))


def _multi_head_attention(out: Any, *args: Any, **kwargs: Any) -> Iterator[Product]:
    """Of batches (L, B, E): three projections, the attention of all heads, and the projection of what they give."""
    given = inspect.signature(functional.multi_head_attention_forward).bind(*args, **kwargs)
    given.apply_defaults()
    at = given.arguments
    width, extra = at["embed_dim_to_check"], (at["bias_k"] is not None) + at["add_zero_attn"]
    together, needs = at["in_proj_weight"], []
    for name in ("query", "key", "value"):
        tokens, weight = at[name], at[f"{name[0]}_proj_weight"] if together is None else together
        yield Product(2 * tokens.numel() * width, _gradients(tokens, weight))
        needs.append(bool(_gradients(tokens, weight)))
    (length, batch), keys = at["query"].shape[:2], at["key"].shape[0] + extra
    flops = 2 * batch * length * keys * width
    yield Product(flops, needs[0] + needs[1])
    yield Product(flops, (needs[0] or needs[1]) + needs[2])
    yield Product(2 * length * batch * width * width, any(needs) + _gradients(at["out_proj_weight"]))


# --- Recurrent layers ----------------------------------------------------------------------------------------------


def _recurrent(out: Any, input: Tensor, *rest: Any) -> Iterator[Product]:
    """Of batches (T, B, ...) or (B, T, ...), or packed (tokens, ...) with the samples of every step.

    The first state needs no gradient unless it is learnt, so that one step of T has no gradient of the state.
    """
    if isinstance(rest[0], torch.Tensor) and isinstance(rest[2], (list, tuple)):  # packed: batch_sizes, hx, params
        sizes, states, params, has_biases, layers, _, _, bidirectional = rest
        first, tokens = int(sizes[0]), input.shape[0]
    else:
        states, params, has_biases, layers, _, _, bidirectional, batch_first = rest
        first, tokens = input.shape[0 if batch_first else 1], prod(input.shape[:-1])
    later = 1 if _gradients(*states) else 1 - first / tokens
    cells = layers * (2 if bidirectional else 1)
    each = len(params) // cells
    for cell in range(cells):
        of_input, of_state, *others = params[cell * each : (cell + 1) * each]
        is_first = cell < cells // layers
        yield Product(2 * tokens * of_input.numel(), _gradients(of_input) + (not is_first or input.requires_grad))
        yield Product(2 * tokens * of_state.numel(), _gradients(of_state) + later)
        for projection in others[2 if has_biases else 0 :]:
            yield Product(2 * tokens * projection.numel(), _gradients(projection) + 1)


def _cell(out: Any, input: Tensor, state: Any, of_input: Tensor, of_state: Tensor, *_: Any) -> Iterator[Product]:
    hidden = state if isinstance(state, torch.Tensor) else state[0]
    for operand, weight in ((input, of_input), (hidden, of_state)):
        yield Product(2 * operand.numel() * weight.shape[0], _gradients(operand, weight))


_NAMES: dict[Callable[..., Iterable[Product]], tuple[str, ...]] = {
    _matmul: ("matmul", "__matmul__", "mm", "bmm", "mv"),
    _rmatmul: ("__rmatmul__",),
    _added_matmul: ("addmm", "baddbmm"),
    _linear: ("linear",),
    _einsum: ("einsum",),
    _convolution: ("conv1d", "conv2d", "conv3d"),
    _transposed: ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    _attention: ("scaled_dot_product_attention",),
    _multi_head_attention: ("multi_head_attention_forward",),
    _recurrent: ("lstm", "gru", "rnn_tanh", "rnn_relu"),
    _cell: ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"),
}
_PRODUCTS = {name: products_of for products_of, names in _NAMES.items() for name in names}
