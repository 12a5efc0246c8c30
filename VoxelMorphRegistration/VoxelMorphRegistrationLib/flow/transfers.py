"""Between a program's memory and a GPU's, without waiting where nothing has to be waited for.

A plain copy to a GPU waits until the GPU has done all that it was given before, and then the GPU waits for the next
command. One for each ramp and each matrix of a filter would do so some hundred times a registration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch


def constant(device: torch.device | str, make: Callable[..., torch.Tensor], *arguments: Any) -> torch.Tensor:
    """`make(*arguments)` on a device, made and brought there once; nobody may change it in place.

    Args:
        make: a function of a module, whose outcome depends on its arguments alone; these are hashable.
    """
    return _kept(str(device), make, arguments)


def sent(values: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Values on a device. A GPU copies them when it comes to that, from memory that its copies do not wait for."""
    device = torch.device(device)
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def sent_array(values: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """`sent` for an array that may be another's; the tensor is nobody else's."""
    device = torch.device(device)
    host = torch.empty(values.shape, dtype=torch.from_numpy(values[:0].copy()).dtype, pin_memory=device.type == "cuda")
    np.copyto(host.numpy(), values)
    return host.to(device, non_blocking=True)


def fetched(values: torch.Tensor) -> torch.Tensor:
    """Values in the program's memory, when they are there."""
    if values.device.type != "cuda":
        return values.cpu()
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    torch.cuda.current_stream(values.device).synchronize()
    return host


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """A context in which a GPU does what it is given without waiting for what other threads gave it; nothing else on a
    CPU. What is used in it is made in it.
    """
    if device.type != "cuda":
        yield
        return
    with torch.cuda.stream(_stream_beside(device)):
        yield


@lru_cache(maxsize=16)
def _stream_beside(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


@lru_cache(maxsize=512)
def _kept(device: str, make: Callable[..., torch.Tensor], arguments: tuple[Any, ...]) -> torch.Tensor:
    with torch.inference_mode(False):  # Those who learn want it too.
        return make(*arguments).to(device)
