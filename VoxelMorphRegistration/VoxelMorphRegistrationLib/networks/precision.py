"""A U-Net in half precision on a GPU: its convolutions alone, but for the last.

What a displacement is made of stays float32: coordinates, warps, sums over windows, integration, and the last
convolution, whose outcome is one. In half precision a coordinate near 200 voxels is quantised to a tenth of a voxel,
and a displacement of 20 voxels to a sixtieth. Sums in a half-precision convolution are float32 on a GPU; its inputs
have 11 binary digits, as many as those of the float32 convolutions that PyTorch asks of a GPU with TensorFloat-32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

import torch
from torch import nn

HALF = torch.float16
_NATIVE = 7  # compute capability from which float16 convolutions have units of their own (Volta)
_CONVOLUTIONS: ContextVar[torch.dtype] = ContextVar("voxelmorph-convolutions", default=torch.float32)


def computes_half(device: torch.device) -> bool:
    """Whether a device convolves in half precision natively, and so sooner than in float32."""
    return device.type == "cuda" and torch.cuda.get_device_properties(device).major >= _NATIVE


@contextmanager
def convolving_in(dtype: torch.dtype) -> Iterator[None]:
    """A context in which networks convolve in `dtype`; float32 is what they do anyway."""
    token = _CONVOLUTIONS.set(dtype)
    try:
        yield
    finally:
        _CONVOLUTIONS.reset(token)


def convolutions() -> torch.dtype:
    """What networks convolve in here."""
    return _CONVOLUTIONS.get()


def half_convolutions(images: torch.Tensor) -> AbstractContextManager | None:
    """A context for the layers that see `images`; None where they are to be computed in float32."""
    dtype = _CONVOLUTIONS.get()
    return None if dtype == torch.float32 else torch.autocast(images.device.type, dtype)


def in_float32(layer: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """What a layer makes of features, in float32 whatever those before it were computed in."""
    if features.dtype == torch.float32:
        return layer(features)
    with torch.autocast(features.device.type, enabled=False):
        return layer(features.float())
