"""Faster prediction on a CPU: convolutions that oneDNN computes, and U-Nets slab by slab.

With the few channels VoxelMorph has, PyTorch's dispatcher leaves oneDNN aside for a slow direct convolution. Calling
oneDNN by name gives the same numbers to 1e-7 in about half the time (measured on x86, and used there alone).
`slab_unet` and `pair_cues` go further where the layers allow it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = {torch.conv2d: 2, torch.conv3d: 3}
_PREDICTING: ContextVar[bool] = ContextVar("voxelmorph-predicting", default=False)


@contextmanager
def predicting(image: torch.Tensor) -> Iterator[None]:
    """A context in which networks predict from float32 images in a CPU's memory as fast as they can; does nothing where
    that is not possible.
    """
    token = _PREDICTING.set(_possible(image))
    try:
        yield
    finally:
        _PREDICTING.reset(token)


def in_slabs(image: torch.Tensor) -> bool:
    """Whether what is computed from an image (B, C, *shape) may be computed slab by slab: one volume, inside
    `predicting`.
    """
    return _PREDICTING.get() and image.dim() == 5 and image.shape[0] == 1 and _possible(image)


def fast_convolutions() -> AbstractContextManager:
    """A context in which convolutions go to oneDNN, inside `predicting`. For layers that slabs cannot do: each function
    of PyTorch that is called in it costs some microseconds.
    """
    return _OneDNN() if _PREDICTING.get() else nullcontext()


def convolved(image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: tuple) -> torch.Tensor:
    """`torch.conv3d` of float32 CPU tensors by oneDNN, or by PyTorch's own choice where it will not."""
    try:
        image = image.contiguous(memory_format=torch.channels_last_3d)
        return torch.mkldnn_convolution(image, weight, bias, padding, (1, 1, 1), (1, 1, 1), 1)
    except RuntimeError:
        return torch.conv3d(image, weight, bias, 1, padding)


def _possible(image: torch.Tensor) -> bool:
    return (
        platform.machine() in ("x86_64", "AMD64")
        and image.device.type == "cpu"
        and image.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch, "mkldnn_convolution")
        and not torch.is_grad_enabled()
    )


class _OneDNN(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in _CONVOLUTIONS and not kwargs:
            converted = _arguments(_CONVOLUTIONS[function], *args)
            if converted is not None:
                try:
                    return torch.mkldnn_convolution(*converted)
                except RuntimeError:
                    # A oneDNN that will not take this one (by its build or its version): PyTorch's own choice will.
                    pass
        return function(*args, **kwargs)


def _arguments(dimension, image, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """`torch.conv3d`'s arguments as `torch.mkldnn_convolution` wants them, or None where it cannot take them."""
    if isinstance(padding, str) or image.dtype != torch.float32 or weight.dtype != torch.float32:
        return None
    memory_format = torch.channels_last_3d if dimension == 3 else torch.channels_last
    stride, padding, dilation = (_tuple(value, dimension) for value in (stride, padding, dilation))
    return image.contiguous(memory_format=memory_format), weight, bias, padding, stride, dilation, groups


def _tuple(value, dimension: int) -> tuple[int, ...]:
    return (value,) * dimension if isinstance(value, int) else tuple(value)
