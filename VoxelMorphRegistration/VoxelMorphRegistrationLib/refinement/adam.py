"""Adam (Kingma and Ba, ICLR 2015), for one array whose gradient the caller knows.

Not `torch.optim.Adam`: the first optimiser of a process imports PyTorch's compiler, three seconds that a registration
has no other use for.
"""

from __future__ import annotations

import torch

_MOMENTUM, _SCALE = 0.9, 0.999
_TINY = 1e-8


class Adam:
    """Moves an array against its gradient, by about as much in every place.

        >>> import torch
        >>> position = torch.tensor([3.0, -40.0])
        >>> adam = Adam(position)
        >>> for _ in range(100):
        ...     adam.step(2 * (position - 1), 0.1)
        >>> abs(float(position[0]) - 1) < 0.2
        True

    Args:
        parameters: of any shape, moved in place.
        still: share of the gradient's root mean square at which a place moves half as far as the others. With 0 all
            move as far, also where nothing but noise tells them where to.
    """

    def __init__(self, parameters: torch.Tensor, still: float = 0.0) -> None:
        self._parameters, self._still = parameters, still
        self._mean, self._square = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self._steps = 0

    def step(self, gradient: torch.Tensor, size: float) -> None:
        """`gradient`: of what is to become less, shaped as the parameters. `size`: what a place moves at most."""
        self._steps += 1
        self._mean.mul_(_MOMENTUM).add_(gradient, alpha=1 - _MOMENTUM)
        self._square.mul_(_SCALE).addcmul_(gradient, gradient, value=1 - _SCALE)
        spread = (self._square / (1 - _SCALE**self._steps)).sqrt_()
        spread.add_(_TINY + (self._still * float(spread.square().mean().sqrt()) if self._still else 0.0))
        self._parameters.addcdiv_(self._mean / (1 - _MOMENTUM**self._steps), spread, value=-size)
