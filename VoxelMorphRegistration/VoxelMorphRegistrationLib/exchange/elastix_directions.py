"""UseDirectionCosines "false", elastix' old default: transforms of images whose directions were left out.

elastix then read both images as if their axes lay along the world's: a voxel i of the fixed image was at
p = O_f + S_f i instead of x = O_f + D_f S_f i, one of the moving image at q = O_m + S_m j instead of
y = O_m + D_m S_m j. The transform in the file takes p to q. Between real points it is
x -> O_m + D_m (T(O_f + D_f^-1 (x - O_f)) - O_m).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.grid import Grid
from .context import Context, warn
from .elastix_parameters import Parameters


@dataclass(frozen=True)
class Turn:
    """The two steps around a transform of images without directions: `forth` x to p, `back` q to y."""

    forth: sitk.AffineTransform
    back: sitk.AffineTransform

    def around(self, transform: sitk.Transform) -> sitk.Transform:
        """The transform between real points (LPS mm) of one between points without directions."""
        return sitk.CompositeTransform([self.back, transform, self.forth])

    def of_grid(self, grid: Grid) -> Grid:
        """A real grid as it lies where directions are left out."""
        matrix = np.reshape(self.forth.GetMatrix(), (grid.dimension, grid.dimension))
        direction = matrix @ np.reshape(grid.direction, matrix.shape)
        return Grid(grid.size, grid.spacing, self.forth.TransformPoint(grid.origin), tuple(direction.ravel().tolist()))


def turn_of(chain: list[Parameters], context: Context) -> Turn | None:
    """What a chain has to be put between; None where it was made with directions. Of a chain, its last file counts.

    Warns where a file does not say it and it matters, and where the moving image is not known.
    Raises InputError when the reference is needed and missing, or is not the fixed image.
    """
    last = chain[-1]
    flags = {parameters.flag("UseDirectionCosines", "true") for parameters in chain}
    if len(flags) > 1:
        warn(f"{last.path}: its chain was made with and without UseDirectionCosines; the last file's was taken for all")
    if last.flag("UseDirectionCosines", "true"):
        if "UseDirectionCosines" not in last.entries and not _is_level(context.reference):
            warn(
                f'{last.path}: it does not say UseDirectionCosines; taken as "true", as elastix does since 4.8; '
                "before, it was false and the field another"
            )
        return None
    if any(_lies_along_directions(parameters) for parameters in chain):
        warn(
            f'{last.path}: it says UseDirectionCosines "false", and its grid or centre of rotation lies where the '
            "image is with its directions: written by itk-elastix, which uses them all the same, and read so"
        )
        return None
    if any(parameters.text("Transform") == "DeformationFieldTransform" for parameters in chain):
        raise InputError(
            f'{last.path}: a DeformationFieldTransform with UseDirectionCosines "false" is not read; register again '
            'with "true"'
        )
    fixed_origin, fixed_direction = _fixed_frame(last, context.need_reference(str(last.path)))
    moving_origin, moving_direction = fixed_origin, fixed_direction
    if context.moving is not None:
        moving_origin = np.array(context.moving.origin)
        moving_direction = np.reshape(context.moving.direction, fixed_direction.shape)
    else:
        warn(
            f'{last.path}: made with UseDirectionCosines "false"; the moving image is taken to have the fixed one\'s '
            "origin and directions; name it with --moving if it has others"
        )
    dimension = len(fixed_origin)
    steps = []
    for origin, direction in ((fixed_origin, np.linalg.inv(fixed_direction)), (moving_origin, moving_direction)):
        step = sitk.AffineTransform(dimension)
        step.SetCenter(origin.tolist())
        step.SetMatrix(direction.ravel().tolist())
        steps.append(step)
    return Turn(forth=steps[0], back=steps[1])


def _lies_along_directions(parameters: Parameters) -> bool:
    """Whether a file says an oblique Direction and has its spline's grid along it, or its centre of rotation in the
    middle of the image that lies so: elastix puts both along the world's axes where it leaves the directions out.
    """
    entries = parameters.entries
    if not {"Direction", "Size", "Spacing", "Origin"} <= entries.keys():
        return False
    dimension = parameters.dimension
    direction = np.reshape(parameters.numbers("Direction", dimension**2), (dimension, dimension)).T
    if np.allclose(direction, np.eye(dimension), atol=1e-6):
        return False
    if "GridDirection" in entries:
        grid = np.reshape(parameters.numbers("GridDirection", dimension**2), (dimension, dimension)).T
        return np.allclose(grid, direction, atol=1e-6)
    if "CenterOfRotationPoint" not in entries:
        return False
    spacing = np.array(parameters.numbers("Spacing", dimension))
    half = (np.array(parameters.whole_numbers("Size", dimension)) - 1) / 2 * spacing
    centre = np.array(parameters.numbers("CenterOfRotationPoint", dimension)) - parameters.numbers("Origin", dimension)
    away = [np.abs(centre - middle).max() for middle in (direction @ half, half)]
    return away[0] < 1e-3 * spacing.min() < away[1]


def _fixed_frame(parameters: Parameters, reference: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Origin and direction (d, d) of the fixed image: as the file says them, or the reference's where it is that
    image and the file left its direction out.
    """
    dimension = parameters.dimension
    if reference.dimension != dimension:
        raise InputError(
            f"{parameters.path}: it is {dimension}D and the reference {reference.dimension}D; give the fixed image"
        )
    own = np.reshape(reference.direction, (dimension, dimension))
    if not {"Size", "Spacing", "Origin"} <= parameters.entries.keys():
        return np.array(reference.origin), own
    said = np.eye(dimension)
    if "Direction" in parameters.entries:
        said = np.reshape(parameters.numbers("Direction", dimension**2), (dimension, dimension)).T
    spacing, origin = parameters.numbers("Spacing", dimension), np.array(parameters.numbers("Origin", dimension))
    if not np.allclose(said, np.eye(dimension), atol=1e-6):
        if abs(np.linalg.det(said)) < 1e-3:
            raise InputError(f"{parameters.path}: its Direction is singular; correct it")
        return origin, said
    same = (
        tuple(parameters.whole_numbers("Size", dimension)) == tuple(reference.size)
        and np.allclose(spacing, reference.spacing, rtol=1e-4)
        and np.allclose(origin, reference.origin, atol=1e-3)
    )
    if not same and not _is_level(reference):
        raise InputError(
            f'{parameters.path}: made with UseDirectionCosines "false", and the reference is not its fixed image '
            "(another size, spacing or origin), whose directions are needed; give the fixed image as --reference"
        )
    return origin, own


def _is_level(grid: Grid | None) -> bool:
    """Whether a grid's axes lie along the world's."""
    return grid is not None and bool(
        np.allclose(np.reshape(grid.direction, (grid.dimension, -1)), np.eye(grid.dimension))
    )
