"""The Newton-Schulz iteration: a matrix with its singular values brought near 1, by matrix products alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Jordan 2024, "Muon: an optimizer for hidden layers in neural networks": steep at zero, singular values end in about
# 0.7 to 1.2.
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalised(matrix_NRC: Tensor, iterations: int = ITERATIONS, eps: float = 1e-7) -> Tensor:
    """The nearest matrices whose rows or columns, whichever are fewer, are orthonormal; nearly so.

    Each matrix is divided by its own norm first, so that none depends on the others of the batch.

    Args:
        matrix_NRC: Matrices of one shape: [matrices, rows, columns].
        iterations: How often: x = a x + (b A + c A A) x, where A = x x^T.
        eps: The smallest norm that a matrix is divided by.
    """
    is_tall = matrix_NRC.shape[-2] > matrix_NRC.shape[-1]
    x_NRC = (matrix_NRC.mT if is_tall else matrix_NRC).contiguous()
    x_NRC = x_NRC / x_NRC.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    a, b, c = QUINTIC
    for _ in range(iterations):
        gram_NRR = torch.bmm(x_NRC, x_NRC.mT)
        factor_NRR = torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=b, alpha=c)
        x_NRC = torch.baddbmm(x_NRC, factor_NRR, x_NRC, beta=a)
    return x_NRC.mT if is_tall else x_NRC


def flops(shape: Sequence[int], iterations: int = ITERATIONS) -> int:
    """FLOPs of orthogonalising one tensor, as [out, rest]; a multiply and an add are two."""
    rows, columns = shape[0], 1
    for size in shape[1:]:
        columns *= size
    few, many = min(rows, columns), max(rows, columns)
    return iterations * (4 * few * few * many + 2 * few**3)
