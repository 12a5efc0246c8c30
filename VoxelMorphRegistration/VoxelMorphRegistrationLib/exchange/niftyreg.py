"""NiftyReg: dense fields of reg_f3d and reg_transform, and affines of reg_aladin, all in RAS mm.

A NiftyReg transformation is a NIfTI (x, y, z, 1, d) of intent 1007 whose intent NAME is NREG_TRANS and whose first
intent parameter says what it holds (reg-lib/cpu/Maths.hpp): positions (0, deformation) or vectors (1, displacement),
on the reference image's grid, pointing into the floating image. The .txt of reg_aladin is the 4 x 4 matrix that takes
reference points to floating points. In both, reference = fixed and floating = moving.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files.atomic import atomic_write
from ..files.nifti import load_nifti
from ..files.nifti_vectors import stored_of, vectors_of
from ..space.affine import check_affine, flip_ras_lps, itk_transform, lps_to_ras
from ..space.displacement import from_array
from ..space.grid import Grid
from .affines import exact_affine, is_affine
from .context import Context, Mapping, warn

_DEFORMATION, _DISPLACEMENT = 0, 1
_OTHERS = {
    2: "a cubic B-spline control point grid",
    3: "a velocity field of positions",
    4: "a velocity field of displacements",
    5: "a B-spline grid of velocities",
    6: "a linear spline control point grid",
}
_VECTOR_INTENT, _INTENT_NAME = 1007, "NREG_TRANS"


def read(source: Any, context: Context) -> Mapping:
    """A deformation or displacement field, or an affine .txt. Raises InputError, also for spline and velocity grids."""
    if isinstance(source, (list, tuple)):
        if len(source) != 1:
            raise InputError(f"{len(source)} files: NiftyReg chains with `reg_transform -comp`; give its one result")
        source = source[0]
    path = Path(os.fspath(source))
    return _read_affine(path, context) if path.suffix.lower() == ".txt" else _read_field(path)


def write(displacement: sitk.Image, path: Path, context: Context) -> None:
    """A displacement field for reg_resample and reg_transform, or an affine .txt where the field is one."""
    grid = Grid.of(displacement)
    if path.suffix.lower() == ".txt":
        matrix = flip_ras_lps(exact_affine(displacement, path))
        whole = np.eye(4)
        whole[: grid.dimension, : grid.dimension] = matrix[:-1, :-1]
        whole[: grid.dimension, 3] = matrix[:-1, -1]
        with atomic_write(path) as partial:
            np.savetxt(partial, whole, fmt="%.10g")
        return
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise InputError(f"{path}: NiftyReg reads a field as .nii or .nii.gz and an affine as .txt; rename the output")
    if is_affine(displacement):
        warn(
            f"{path}: the displacement is an affine, and is written as vectors on the reference only; a .txt would hold"
            " all of it"
        )
    import nibabel

    image = nibabel.Nifti1Image(stored_of(lps_to_ras(sitk.GetArrayViewFromImage(displacement))), grid.ras_matrix())
    image.header.set_intent(_VECTOR_INTENT, name=_INTENT_NAME)
    image.header["intent_p1"] = _DISPLACEMENT
    image.header.set_xyzt_units("mm")
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    with atomic_write(path) as partial:
        nibabel.save(image, partial)


def _read_field(path: Path) -> sitk.Image:
    image = load_nifti(path)
    kind = int(image.header["intent_p1"])
    if kind not in (_DEFORMATION, _DISPLACEMENT):
        what = _OTHERS.get(kind, f"a transformation of unknown kind {kind}")
        raise InputError(
            f"{path}: it is {what}; make it a field with `reg_transform -ref REFERENCE -def {path} OUT.nii.gz`"
        )
    vectors, grid = vectors_of(image, str(path))
    lps = lps_to_ras(vectors)
    return from_array(lps - grid.points() if kind == _DEFORMATION else lps, grid)


def _read_affine(path: Path, context: Context) -> sitk.Transform:
    grid = context.need_reference(str(path))
    try:
        matrix = np.loadtxt(path.read_bytes().decode("utf-8-sig").splitlines())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a 4 x 4 matrix of numbers; give what reg_aladin -aff wrote") from error
    if matrix.shape != (4, 4) or not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise InputError(f"{path}: not a 4 x 4 matrix whose last row is 0 0 0 1; give what reg_aladin -aff wrote")
    keep = [*range(grid.dimension), 3]
    return itk_transform(flip_ras_lps(check_affine(matrix[np.ix_(keep, keep)], str(path))))
