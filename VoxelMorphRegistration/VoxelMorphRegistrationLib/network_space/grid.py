"""The grid a network sees, from the fixed image's header and the model's card.

The network's grid follows the FIXED image's own axes, permuted and flipped so that they run as the card says (for an
oblique image: to the closest world axes). The fixed image is therefore only cropped and padded, and interpolated only
when another spacing is asked for. Nothing depends on the order in which the image is stored.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.grid import Grid
from .space import BY_SIZE, DIRECTIONS, Space, check_spacing

_SAME_SPACING = 2e-3  # relative: 0.999 mm voxels are 1 mm voxels to a network, and need no interpolation
# Each axis of 16 voxels or more gets 32 or more, for a network's coarse levels, though not at less than half the finest
# spacing of the image: a slab of 20 planes is registered to .1 mm so, to 1 mm otherwise; a small volume gains nothing.
_THICK, _LEAST, _FINEST = 16, 32, 0.5


class NetworkGrid(NamedTuple):
    """The grid a network sees.

    Attributes:
        grid: its array (k, j, i) is the tensor.
        notes: where it is not what the card asks for, a line that says so.
    """

    grid: Grid
    notes: tuple[str, ...] = ()


def network_grid(
    fixed: sitk.Image,
    space: Space,
    spacing: str | float | tuple[float, ...] | None = None,
    mask: sitk.Image | None = None,
) -> NetworkGrid:
    """The grid the network sees: a SimpleITK grid whose array (k, j, i) IS the tensor.

    Free extent: the fixed image's, padded up to the multiple, evenly on both sides; nothing is squashed. Fixed extent:
    centred on the mask, or else on the image's foreground (above Otsu's threshold, without the outermost half percent
    along each axis). Where the spacing is the fixed image's own, its voxels are the fixed image's voxels.

    Args:
        spacing: overrides the card's, and its `max_voxels`: 'native', mm, or mm for each tensor axis (array order).
        mask: on the fixed image's grid; what is not zero counts.

    Raises:
        InputError: a spacing that cannot be, or an image of another dimension than the model's.
    """
    grid = _oriented(Grid.of(fixed), space.tensor_axes)
    if spacing is None and space.spacing == BY_SIZE:
        chosen = np.full(grid.dimension, _isotropic(grid, space.voxels))
    else:
        asked = space.spacing if spacing is None else spacing
        check_spacing(asked, "network spacing")
        chosen = _spacing_along_axes(grid, asked)
    flexible = space.flexible or space.spacing == BY_SIZE
    multiple = space.multiple or 1
    notes: tuple[str, ...] = ()
    if space.extent is not None:
        if len(space.extent) != grid.dimension:
            raise InputError(
                f"the model takes {len(space.extent)}D images of shape {space.extent}, "
                f"the fixed image has {grid.dimension} dimensions; choose another model"
            )
        size = tuple(reversed(space.extent))
        centre = _foreground_centre(fixed if mask is None else mask > 0, grid)
    else:
        if spacing is None:
            wanted = _commensurate(grid, chosen) if flexible else chosen
            chosen = _coarse_enough(grid, chosen, space, flexible)
            if not np.array_equal(chosen, wanted):
                before, after = (" x ".join(f"{mm:.3g}" for mm in each[::-1]) for each in (wanted, chosen))
                limit = f"to keep within {space.max_voxels} voxels"
                notes = (f"network spacing {before} mm made coarser, {after} mm, {limit}",)
        size = _free_size(grid, chosen, multiple)
        centre = (np.asarray(grid.size) - 1) / 2
    scale = chosen / np.asarray(grid.spacing)
    start = centre - scale * (np.asarray(size) - 1) / 2
    # On the fixed image's lattice where the spacing allows it; halves always go down, whatever rounding left of them.
    start = np.where(scale == 1.0, np.ceil(start - 0.5 - 1e-6), start)
    matrix = grid.index_to_physical() @ _scaling(scale, start)
    return NetworkGrid(Grid.from_matrix(size, matrix), notes)


def finer_grid(network: Grid, fixed: Grid, moving: Grid) -> Grid | None:
    """The network's grid with its spacing halved along each axis along which both images show as much, or None.

    The corner voxels keep their centres: 2 n - 1 voxels where the network's grid has n.
    """
    half = np.asarray(network.spacing) / 2
    enough = [
        spacing_along(network.directions, image.directions, image.spacing) <= half * (1 + _SAME_SPACING)
        for image in (fixed, moving)
    ]
    times = np.where(enough[0] & enough[1], 2, 1)
    if (times == 1).all():
        return None
    size = tuple(int(k * (n - 1) + 1) for n, k in zip(network.size, times))
    return Grid.from_matrix(size, network.index_to_physical() @ _scaling(1.0 / times, np.zeros(network.dimension)))


def spacing_along(lines: np.ndarray, directions: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """mm from voxel to voxel, as met along each of the lines, of a grid with these directions; unit vectors as
    columns.
    """
    # The squared cosines sum to one.
    return ((lines.T @ directions) ** 2) @ np.asarray(spacing)


def _oriented(grid: Grid, tensor_axes: str) -> Grid:
    """The same voxels with the axes permuted and flipped to run towards `tensor_axes` as closely as they can."""
    if tensor_axes == "native":
        return grid
    if len(tensor_axes) != grid.dimension:
        raise InputError(
            f"the model takes {len(tensor_axes)}D images (axes {tensor_axes}), "
            f"the fixed image has {grid.dimension} dimensions; choose another model"
        )
    dimension = grid.dimension
    direction = grid.directions
    targets = [DIRECTIONS[letter] for letter in reversed(tensor_axes)]  # of i, j, k
    towards = np.asarray([[sign * direction[axis, a] for a in range(dimension)] for axis, sign in targets])
    best = max(
        itertools.permutations(range(dimension)), key=lambda order: sum(abs(towards[n, a]) for n, a in enumerate(order))
    )
    matrix = np.zeros((dimension + 1, dimension + 1))
    matrix[-1, -1] = 1.0
    for n, a in enumerate(best):
        flip = towards[n, a] < 0
        matrix[a, n] = -1.0 if flip else 1.0
        matrix[a, -1] = grid.size[a] - 1 if flip else 0.0
    return Grid.from_matrix(tuple(grid.size[a] for a in best), grid.index_to_physical() @ matrix)


def _spacing_along_axes(grid: Grid, spacing: str | float | tuple[float, ...]) -> np.ndarray:
    """mm along i, j(, k) of the network's grid; exactly the image's where they differ by next to nothing."""
    own = np.asarray(grid.spacing)
    if isinstance(spacing, str):
        return own
    if isinstance(spacing, (tuple, list)):
        if len(spacing) != grid.dimension:
            raise InputError(f"network spacing {spacing}: {grid.dimension} numbers are needed, one for each axis")
        wanted = np.asarray(spacing[::-1], dtype=float)
    else:
        wanted = np.full(grid.dimension, float(spacing))
    return np.where(np.abs(wanted / own - 1.0) < _SAME_SPACING, own, wanted)


def _free_size(grid: Grid, spacing: np.ndarray, multiple: int) -> tuple[int, ...]:
    """As many voxels of `spacing` mm as cover the image's voxels, up to the multiple."""
    length = np.asarray(grid.size) * np.asarray(grid.spacing)
    return tuple(int(multiple * math.ceil(round(mm / step, 6) / multiple)) for mm, step in zip(length, spacing))


def _isotropic(grid: Grid, voxels: int) -> float:
    """The edge of an isotropic voxel, in the grid's unit, of which so many fill the grid; see `Space.voxels`."""
    lengths = [n * step for n, step in zip(grid.size, grid.spacing)]
    finest = min(grid.spacing)
    edge = max((math.prod(lengths) / voxels) ** (1 / grid.dimension), finest)
    thick = [length for n, length in zip(grid.size, lengths) if n >= _THICK]
    return max(min(edge, min(thick, default=math.inf) / _LEAST), _FINEST * finest)


def _coarse_enough(grid: Grid, wanted: np.ndarray, space: Space, flexible: bool) -> np.ndarray:
    """The spacing wanted, all axes stretched by one factor while the grid would hold more than `space.max_voxels`."""
    multiple = space.multiple or 1
    spacing = _commensurate(grid, wanted) if flexible else wanted
    while math.prod(size := _free_size(grid, spacing, multiple)) > space.max_voxels:
        if max(size) <= multiple:
            break
        wanted = wanted * max(1.02, (math.prod(size) / space.max_voxels) ** (0.5 / grid.dimension))
        spacing = _commensurate(grid, wanted) if flexible else wanted
    return spacing


def _commensurate(grid: Grid, wanted: np.ndarray) -> np.ndarray:
    """Along each axis the multiple or fraction (1/n) of the image's spacing whose ratio to `wanted` is nearest to 1."""
    spacing = []
    for own, wish in zip(grid.spacing, wanted):
        ratio = wish / own if wish > own else own / wish
        lower = math.floor(ratio)
        whole = lower if ratio / lower < (lower + 1) / ratio else lower + 1
        spacing.append(own * whole if wish > own else own / whole)
    return np.asarray(spacing)


def _foreground_centre(image: sitk.Image, grid: Grid) -> np.ndarray:
    """Centre of the foreground's box in the (oriented) grid's index coordinates i, j(, k)."""
    foreground = image if image.GetPixelID() == sitk.sitkUInt8 and _is_binary(image) else _above_otsu(image)
    array = sitk.GetArrayViewFromImage(foreground) > 0
    if not array.any():
        return (np.asarray(grid.size) - 1) / 2
    middle = []
    for axis in range(array.ndim):
        along = array.sum(axis=tuple(a for a in range(array.ndim) if a != axis))
        reached = np.cumsum(along)
        trimmed = reached[-1] // 200
        first = int(np.searchsorted(reached, trimmed, side="right"))
        last = int(np.searchsorted(reached, reached[-1] - trimmed, side="left"))
        middle.append((first + last) / 2)
    point = Grid.of(image).to_physical(np.asarray(middle[::-1]))
    # Half voxels are exact: what the matrices leave of rounding must not decide between two crops.
    return np.round(grid.to_index(point) * 2) / 2


def _is_binary(image: sitk.Image) -> bool:
    view = sitk.GetArrayViewFromImage(image)
    return int(view.max()) <= 1


def _above_otsu(image: sitk.Image) -> sitk.Image:
    return sitk.OtsuThreshold(image, 0, 1, 256)


def _scaling(scale: np.ndarray, start: np.ndarray) -> np.ndarray:
    matrix = np.diag([*scale, 1.0])
    matrix[:-1, -1] = start
    return matrix
