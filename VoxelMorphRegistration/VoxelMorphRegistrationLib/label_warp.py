"""Label maps pulled through a displacement without mixing their values."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import torch

from .grid import Grid
from .image_space import index_positions


def warp_labels_nearest(labels: sitk.Image, displacement: sitk.Image) -> sitk.Image:
    """The label at x + u(x), nearest neighbour, for the voxels x of the displacement's grid; 0 outside the label map.

    The labels may lie on any grid and keep their pixel type. What `displacement.warp(..., 'nearest')` does, several times
    faster: one gather over all threads and no double-precision copy of the field.
    """
    grid, source = Grid.of(displacement), Grid.of(labels)
    to_index = torch.as_tensor(source.physical_to_index()[:-1, :-1][::-1].copy(), dtype=torch.float32)
    vectors = torch.from_numpy(sitk.GetArrayFromImage(displacement))
    position = index_positions(grid, source) + torch.movedim(vectors @ to_index.T, -1, 0)
    # ITK rounds halves up.
    index = torch.floor(position + 0.5).to(torch.int64)
    inside = torch.ones(grid.shape, dtype=torch.bool)
    flat = torch.zeros(grid.shape, dtype=torch.int64)
    for axis, size in enumerate(source.shape):
        inside &= (index[axis] >= 0) & (index[axis] < size)
        flat = flat * size + index[axis].clamp(0, size - 1)
    values = sitk.GetArrayViewFromImage(labels).reshape(-1)[flat.numpy()]
    values[~inside.numpy()] = 0
    return grid.image(np.ascontiguousarray(values))
