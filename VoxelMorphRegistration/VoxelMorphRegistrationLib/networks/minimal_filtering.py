"""A 3-wide convolution of a volume with half of the multiplications: four slices by six products instead of twelve.

F(4, 3) of Winograd's minimal filtering, along the axis of slices: Lavin and Gray, Fast Algorithms for Convolutional
Neural Networks, CVPR 2016, section 4.3. A product is a 3 x 3 convolution of a sum of slices, which oneDNN computes as
fast as it does one of three dimensions; the sums are few beside it. In float32 the outcome is that of a direct
convolution to some 1e-6 of the largest value.

Channels that were upsampled by 2, to the nearest voxel, need 4 multiplications a pixel instead of 9: the 3 x 3
convolution of what is made of them is a transposed convolution, 4 x 4 of stride 2, of themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from .inference import convolved

SLICES = 4  # that are computed together
_CHANNELS = 16  # in and out; with fewer, sums take longer than the multiplications that they save
_MULTIPLICATIONS = 400_000_000  # likewise, what is done once a convolution

_ALONG = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
# Row k has ones at the weights through which a coarse pixel reaches fine pixel k - 1, counted from its own first one.
_SPREAD = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=torch.float64)


class Filtering:
    """A convolution of `weight` (O, C, 3, 3, 3) and `bias` (O), padded with zeros within slices.

    Args:
        doubled: how many of the input's channels, the first ones, are given at half the resolution, to be upsampled.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, doubled: int = 0) -> None:
        self.outputs = weight.shape[0]
        self._bias = bias
        slices = weight.double().movedim(2, 0)
        along = (_ALONG @ slices.flatten(1)).view(6, *slices.shape[1:])
        coarse, fine = along[:, :, :doubled], along[:, :, doubled:]
        spread = coarse.transpose(1, 2).flatten(3) @ torch.kron(_SPREAD, _SPREAD).T
        # Of three dimensions, one slice thick.
        self._fine = fine.float().unsqueeze(3)
        self._coarse = spread.float().unflatten(3, (1, 4, 4))

    @staticmethod
    def pays(weight: torch.Tensor, shape: Sequence[int]) -> bool:
        """Whether a convolution of these weights takes less time so, at `shape`."""
        wide = tuple(weight.shape[2:]) == (3, 3, 3) and min(weight.shape[:2]) >= _CHANNELS
        return wide and weight.numel() * math.prod(shape) >= _MULTIPLICATIONS

    def __call__(self, slices: torch.Tensor, coarse: torch.Tensor | None = None) -> torch.Tensor:
        """(1, O, 4 n, J, I), channels last.

        Args:
            slices: (1, C - doubled, 4 n + 2, J, I) with the slice before and the one after.
            coarse: (1, doubled, 2 n + 2, J / 2, I / 2) likewise; its second slice is upsampled to the first two.
        """
        inputs = [[slices[:, :, k : k + slices.shape[2] - 5 : 4] for k in range(6)]]
        if coarse is not None:
            starts = [(k + 1) // 2 for k in range(6)]
            inputs.append([coarse[:, :, k : k + coarse.shape[2] - 3 : 2] for k in starts])

        def product(number: int, sums: list[torch.Tensor]) -> torch.Tensor:
            found = convolved(sums[0], self._fine[number], self._bias if number == 1 else None, (0, 1, 1))
            for one in sums[1:]:
                found += torch.conv_transpose3d(one, self._coarse[number], None, (1, 2, 2), (0, 1, 1))
            return found

        def products(number: int, inner: int, outer: int) -> tuple[torch.Tensor, torch.Tensor]:
            """Sum and difference of two products whose inputs differ in the sign of slices 1 and 3 alone."""
            pairs = [_sum_and_difference(d, inner, outer) for d in inputs]
            one, other = (product(number + k, [pair[k] for pair in pairs]) for k in range(2))
            return one + other, one.sub_(other)

        even, odd = products(1, inner=4, outer=1)
        even2, odd2 = products(3, inner=1, outer=2)
        first = product(0, [_edge(d, 0) for d in inputs])
        last = product(5, [_edge(d, 1) for d in inputs])
        shape = (1, self.outputs, slices.shape[2] - 2, *slices.shape[3:])
        found = torch.empty(shape, memory_format=torch.channels_last_3d)
        torch.add(odd, odd2, alpha=2, out=found[:, :, 1::4])
        torch.add(even, even2, alpha=4, out=found[:, :, 2::4])
        torch.add(first, even.add_(even2), out=found[:, :, 0::4])
        torch.add(last.add_(odd), odd2, alpha=8, out=found[:, :, 3::4])
        return found


def _sum_and_difference(d: list[torch.Tensor], inner: int, outer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(d4 - inner d2) plus and minus outer (d3 - inner d1)."""
    even = torch.sub(d[4], d[2], alpha=inner)
    odd = torch.sub(d[3], d[1], alpha=inner)
    return torch.add(even, odd, alpha=outer), even.sub_(odd, alpha=outer)


def _edge(d: list[torch.Tensor], first: int) -> torch.Tensor:
    """4 d0 - 5 d2 + d4, from `first` on."""
    return torch.sub(d[first + 4], d[first + 2], alpha=5).add_(d[first], alpha=4)
