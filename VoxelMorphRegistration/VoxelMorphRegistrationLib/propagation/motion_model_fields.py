"""The displacements of key frames, weighted and added for one frame after another."""

from __future__ import annotations

from threading import Lock

import numpy as np
import SimpleITK as sitk
import torch

from ..flow.transfers import fetched, sent_array
from ..space import displacement as displacements
from ..space.grid import Grid

_SLICES = 8  # at a time, to stay in the processor's cache


class KeyFields:
    """Displacements that stay where they are added up: on a GPU, as far as it has room, or in the program's memory.

    Attributes:
        fields: the displacements, in the order in which they came.
    """

    def __init__(self, device: torch.device) -> None:
        self.fields: list[sitk.Image] = []
        self._device = device
        self._sending = Lock()
        self._sent: list[torch.Tensor] | None = [] if device.type == "cuda" else None

    def add(self, field: sitk.Image) -> None:
        self.fields.append(field)

    def weighted(self, weights: np.ndarray, grid: Grid) -> sitk.Image:
        """The sum of all fields, each times its weight, on a grid."""
        if self._sent is not None and all(Grid.of(one).same_as(grid) for one in self.fields):
            try:
                return displacements.from_array(self._added_on_device(weights), grid)
            except torch.cuda.OutOfMemoryError:
                self._sent = None
        alike = [one if Grid.of(one).same_as(grid) else displacements.resample(one, grid) for one in self.fields]
        vectors = [sitk.GetArrayViewFromImage(one) for one in alike]
        total = np.zeros((*grid.shape, grid.dimension), np.float32)
        for start in range(0, len(total), _SLICES):
            part = slice(start, start + _SLICES)
            for one, weight in zip(vectors, weights):
                total[part] += np.float32(weight) * one[part]
        return displacements.from_array(total, grid)

    def _added_on_device(self, weights: np.ndarray) -> np.ndarray:
        assert self._sent is not None
        with self._sending:
            for field in self.fields[len(self._sent) :]:
                self._sent.append(sent_array(sitk.GetArrayViewFromImage(field), self._device))
        total = torch.zeros_like(self._sent[0])
        for one, weight in zip(self._sent, weights.tolist()):
            total.add_(one, alpha=weight)
        return fetched(total).numpy()
