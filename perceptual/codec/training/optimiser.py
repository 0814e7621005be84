"""What a step of training does with the gradient.

Convolutions within residual blocks, and those that make the state of the probabilities, take steps
along orthogonal matrices: K. Jordan et al., "Muon: An optimizer for hidden layers in neural
networks" (2024). The momentum of a matrix's gradient, G = U S V^T, is replaced by U V^T, so that
directions which the loss hardly feels are learned as fast as those it feels most; what rectifiers
show is never negative, so that one direction, their mean, has nearly all of the gradient. Scaled by
0.2 sqrt(max(m, n)), entries are about as large as Adam's steps, and one learning rate serves both
(J. Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982, section 2.2).

All else is left to Adam (D. Kingma and J. Ba, ICLR 2015), with a tenth of the steps for the linear
maps between strides: they begin as principal components, and the errors of a step are errors of all
that is coded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from perceptual.codec.training.flat import Flat
from perceptual.training import distributed

LINEAR, MATRIX, OTHER = "linear", "matrix", "other"
OF_LINEAR = 0.1
MOMENTUM = 0.95
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial x -> a x + b x^3 + c x^5, which brings singular values to about 1 fastest."""
SCALE = 0.2


def kind_of(name: str, parameter: nn.Parameter) -> str:
    """How a parameter of a `CodecNetwork` is learned."""
    module = name.rpartition(".")[0]
    if module.split(".")[0] in ("analysis", "synthesis") and module.count(".") == 1:
        return LINEAR
    is_last = module.endswith((".tell", ".near", "hyper_analysis.leave")) or module.startswith(
        "guide"
    )
    return MATRIX if parameter.ndim == 4 and not is_last else OTHER


class Optimiser:
    """Steps for the parameters of a network that lie in `flat`, by kind."""

    def __init__(self, flat: Flat) -> None:
        self._flat = flat
        self._whole = flat.all_of(MATRIX)
        self._momentum = torch.zeros_like(flat.values[self._whole])
        self._update = torch.zeros_like(self._momentum)
        groups = []
        for kind, share in ((LINEAR, OF_LINEAR), (OTHER, 1.0)):
            part = flat.all_of(kind)
            values = nn.Parameter(flat.values[part])
            values.grad = flat.gradient[part]
            groups.append({"params": [values], "share": share})
        self._adam = torch.optim.Adam(groups, fused=True)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One step along the gradient in `flat`, which all processes have alike."""
        for group in self._adam.param_groups:
            group["lr"] = learning_rate * group["share"]
        self._adam.step()
        self._orthogonal_steps()
        self._flat.values[self._whole].add_(self._update, alpha=-learning_rate)

    def _orthogonal_steps(self) -> None:
        """Of all matrices; each process finds those of some, and tells the others."""
        self._momentum.lerp_(self._flat.gradient[self._whole], 1 - MOMENTUM)
        self._update.zero_()
        for number, (part, parameter) in enumerate(self._flat.parts[MATRIX]):
            if number % distributed.count() == distributed.rank():
                own = slice(part.start - self._whole.start, part.stop - self._whole.start)
                momentum, gradient = self._momentum[own], self._flat.gradient[part]
                ahead = torch.lerp(gradient, momentum, MOMENTUM).view(len(parameter), -1)
                step = orthogonal(ahead) * (SCALE * max(ahead.shape) ** 0.5)
                self._update[own] = step.flatten()
        if dist.is_initialized():
            dist.all_reduce(self._update)

    def state_dict(self) -> dict[str, Any]:
        return {"momentum": self._momentum, "adam": self._adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._momentum.copy_(state["momentum"])
        self._adam.load_state_dict(state["adam"])


def orthogonal(matrix: Tensor) -> Tensor:
    """About U V^T of a matrix (m, n) = U S V^T: its singular values become 0.7 to 1.2, but for
    those under a thousandth of the largest.

    U V^T = (G G^T)^(-1/2) G is found by Newton and Schulz's iteration. It is a polynomial of G G^T,
    so all iterations are made with that small matrix, and the large one is multiplied once.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    a, b, c = COEFFICIENTS
    unit = matrix / (matrix.norm() + 1e-12)
    gram = unit @ unit.T
    whole = None
    for _ in range(ITERATIONS):
        factor = b * gram + c * (gram @ gram)
        factor.diagonal().add_(a)
        gram = factor @ gram @ factor
        whole = factor if whole is None else factor @ whole
    assert whole is not None  # noqa: S101
    found: Tensor = whole @ unit
    return found
