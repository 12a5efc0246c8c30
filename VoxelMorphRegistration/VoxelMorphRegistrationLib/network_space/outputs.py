"""From a network's flow back to the images: displacements on the fixed grid, inverses on the moving grid.

The whole map is T(x) = A(x + u(x)): the network's displacement u first, on the fixed image, then the alignment A (fixed
point to moving point). Where the network's grid ends, u keeps its edge vector to the border of the outermost voxels and
has vanished two network voxels beyond their centres; further out the alignment is alone. Inside, u is exactly the
network's, linear between its voxels.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import torch

from ..flow import sampling
from ..flow.transfers import fetched, sent
from ..space import displacement
from ..space.affine import array_order, linear_parts
from ..space.grid import Grid
from .axis_map import AxisMap, regrid

_BLEND_FROM, _BLEND_TO = 0.5, 2.0  # network voxels beyond the outermost centres


def forward_displacement(
    flow: torch.Tensor, network_grid: Grid, fixed: Grid, alignment: sitk.Transform | None = None
) -> sitk.Image:
    """The canonical displacement of T(x) = A(x + u(x)) on the fixed grid, u a flow (1, d, *network_grid.shape) in
    voxels.
    """
    vectors = network_vectors(flow, network_grid, fixed)
    if alignment is None:
        return _image(vectors, fixed)
    affine = linear_parts(alignment)
    if affine is None:
        through = displacement.to_transform(_image(vectors, fixed))
        return displacement.from_transform(sitk.CompositeTransform([alignment, through]), fixed)
    matrix = torch.as_tensor(affine[0]).to(vectors, non_blocking=True)
    moved = torch.tensordot(matrix, vectors, dims=1)
    return _image(moved + sent(affine_vectors(affine, fixed), moved.device), fixed)


def inverse_displacement(
    inverse_flow: torch.Tensor, network_grid: Grid, moving: Grid, alignment: sitk.Transform | None = None
) -> sitk.Image | None:
    """The displacement of T^-1(y) = N^-1(A^-1(y)) on the moving grid; None when the alignment has no linear inverse.

    `inverse_flow` (1, d, *network_grid.shape), network voxels, is N^-1 - identity.
    """
    if alignment is None:
        return _image(network_vectors(inverse_flow, network_grid, moving), moving)
    affine = linear_parts(alignment)
    if affine is None:
        return None
    back = np.linalg.inv(affine[0])
    inverse = (back, -back @ affine[1])
    vectors = network_vectors(inverse_flow, network_grid, moving, inverse)
    return _image(vectors + sent(affine_vectors(inverse, moving), vectors.device), moving)


def network_vectors(
    flow: torch.Tensor, network_grid: Grid, target: Grid, entry: tuple[np.ndarray, np.ndarray] | None = None
) -> torch.Tensor:
    """u at entry(x) for the voxels x of `target`: LPS mm, (d, *target.shape), fading outside the network's grid.

    Args:
        flow: (1, d, *network_grid.shape) in network voxels, channel c along array axis c.
        entry: (matrix, offset) that takes LPS points of the target to LPS points of the network's grid.
    """
    flow = flow.detach().float()
    axis_map = AxisMap.between(target, network_grid) if entry is None else None
    if axis_map is not None:
        sampled = regrid(flow[0], axis_map, target.shape)
        for axis, count in enumerate(target.shape):
            source = axis_map.axes[axis]
            weight = _blend(torch.as_tensor(axis_map.positions(axis, count)), flow.shape[2 + source])
            if not bool((weight == 1).all()):
                view = [1] * sampled.dim()
                view[1 + axis] = count
                sampled = sampled * weight.to(sampled, non_blocking=True).view(view)
    else:
        position = sent(index_positions(target, network_grid, entry), flow.device)
        sampled = sampling.sample(flow, position[None], "border")[0]
        for axis, size in enumerate(flow.shape[2:]):
            sampled = sampled * _blend(position[axis], size)
    axes = torch.from_numpy(network_grid.axes[:, ::-1].copy()).to(sampled, non_blocking=True)
    return torch.tensordot(axes, sampled, dims=1)


def index_positions(target: Grid, source: Grid, entry: tuple[np.ndarray, np.ndarray] | None = None) -> torch.Tensor:
    """Array indices in `source` of entry(x) for the voxels x of `target`: float32 (d, *target.shape)."""
    matrix = array_order(target.index_to_index(source, entry))
    return sampling.affine_over(matrix[:-1, :-1], matrix[:-1, -1], target.shape)


def affine_vectors(affine: tuple[np.ndarray, np.ndarray], grid: Grid) -> torch.Tensor:
    """M x + t - x in LPS mm at the voxels x of a grid: float32 (d, *grid.shape)."""
    rest = affine[0] - np.eye(grid.dimension)
    return sampling.affine_over((rest @ grid.axes)[:, ::-1], rest @ np.asarray(grid.origin) + affine[1], grid.shape)


def _blend(position: torch.Tensor, size: int) -> torch.Tensor:
    beyond = torch.maximum(-position, position - (size - 1))
    return ((_BLEND_TO - beyond) / (_BLEND_TO - _BLEND_FROM)).clamp(0.0, 1.0)


def _image(vectors: torch.Tensor, grid: Grid) -> sitk.Image:
    return displacement.from_array(fetched(vectors.movedim(0, -1).contiguous()).numpy(), grid)
