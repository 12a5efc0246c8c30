"""Whether two images share any part of space."""

from __future__ import annotations

import SimpleITK as sitk

from ..errors import InputError
from ..space.displacement import transform_points
from ..space.grid import Grid

_PROBES = 17  # points along each axis that stand for an image


def check_overlap(fixed: Grid, moving: Grid, alignment: sitk.Transform | None) -> None:
    """Raises InputError when the images have different dimensions or share no point of space after the alignment."""
    if fixed.dimension != moving.dimension:
        raise InputError(
            f"fixed image has {fixed.dimension} dimensions, moving image {moving.dimension}; give two of one kind"
        )
    lattice = fixed.lattice(_PROBES)
    if alignment is not None:
        lattice = transform_points(alignment, lattice)
    if moving.contains(lattice).any():
        return
    if alignment is None or alignment.IsLinear():
        back = moving.lattice(_PROBES)
        if alignment is not None:
            back = transform_points(alignment.GetInverse(), back)
        if fixed.contains(back).any():
            return
    raise InputError(
        "fixed and moving image do not overlap in space; check their headers, bring them together with "
        "an initial transform, or lay one centre on the other with the alignment 'centers'"
    )
