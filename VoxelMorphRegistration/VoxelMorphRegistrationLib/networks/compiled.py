"""A network's U-Net compiled by OpenVINO, where that is installed (`pip install openvino`, 60 MB): for long sequences.

On one thread, networks that upsample linearly take .7 to .8 of the time that slabs take; VxmDense, which does to the
nearest voxel, 1 to 1.3 times it. Compiling one takes seconds, and each shape is another one: it is done when a shape
has come up so often that more of it is to be expected. The numbers are those of PyTorch to 1e-6.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_OFTEN = 8  # predictions of one shape after which it is compiled
_MOST_SHAPES = 8  # a pyramid has one for each factor

Prediction = Callable[[torch.Tensor], torch.Tensor]


class CompiledUnets:
    """The U-Nets of one network, by the shape of their input and as their weights are."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, ...], int] = {}
        self._made: dict[tuple[int, ...], Prediction | None] = {}
        self._weights: tuple[Any, ...] = ()

    def of(self, layers: nn.Module, images: torch.Tensor) -> Prediction | None:
        """What predicts as `layers` do from images (1, C, *shape); None while slabs are to do it."""
        if importlib.util.find_spec("openvino") is None:
            return None
        # Training changes weights in place and counts that; moving or loading them makes others.
        weights = tuple((one.data_ptr(), one._version) for one in layers.parameters())
        if weights != self._weights:
            self._seen, self._made, self._weights = {}, {}, weights
        shape = tuple(images.shape)
        self._seen[shape] = self._seen.get(shape, 0) + 1
        if shape not in self._made:
            if self._seen[shape] <= _OFTEN or len(self._made) >= _MOST_SHAPES:
                return None
            self._made[shape] = _compiled(layers, images)
        return self._made[shape]

    def __deepcopy__(self, memo: dict) -> CompiledUnets:
        return CompiledUnets()

    def __reduce__(self) -> tuple:
        return (CompiledUnets, ())


def _compiled(layers: nn.Module, images: torch.Tensor) -> Prediction | None:
    """None where OpenVINO cannot."""
    import openvino

    options = {
        "INFERENCE_PRECISION_HINT": "f32",  # left alone, it may choose bfloat16
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    example = images.contiguous()
    try:
        model = openvino.convert_model(layers, example_input=example, input=[tuple(example.shape)])
        request = openvino.Core().compile_model(model, "CPU", options)
    except Exception:  # It has errors of its own, and a build of it that lacks something is no reason to fail.
        return None

    def predict(given: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(request(given.contiguous().numpy())[0].copy())

    return predict
