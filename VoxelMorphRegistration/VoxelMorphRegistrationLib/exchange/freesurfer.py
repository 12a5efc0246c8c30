"""FreeSurfer: .lta affines, and the displacement and warp files that mri_synthmorph writes, all in RAS mm.

An LTA takes source (moving) points to destination (fixed) points: the other way round from a pulling field, so it is
inverted here. mri_synthmorph -t stored RAS displacements on the fixed grid as a plain image of 3 frames up to
FreeSurfer 8.0, and stores them as NIfTI of intent 1006 or as an MGZ warp since (surfa's `Warp`, whose MGZ form names
one of four kinds of content and both geometries in its tags).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files.atomic import atomic_write
from ..files.displacements import write_displacement
from ..files.itk_transform_files import numbers_of
from ..files.nifti import load_nifti
from ..files.nifti_vectors import vectors_of
from ..space.affine import check_affine, flip_ras_lps, itk_transform, lps_to_ras
from ..space.displacement import from_array
from ..space.grid import Grid
from . import freesurfer_warp
from .affines import exact_affine, is_affine
from .context import Context, Mapping, warn

_VOXEL_TO_VOXEL, _RAS_TO_RAS = 0, 1


def read(source: Any, context: Context) -> Mapping:
    """An .lta affine, or a warp or displacement as .mgz, .mgh, .nii.gz. Raises InputError."""
    if isinstance(source, (list, tuple)):
        if len(source) != 1:
            raise InputError(f"{len(source)} files: FreeSurfer chains with mri_concatenate_lta; give its one result")
        source = source[0]
    path = Path(os.fspath(source))
    name = path.name.lower()
    if name.endswith(".lta"):
        return _read_lta(path, context.reference)
    if name.endswith(".m3z"):
        raise InputError(
            f"{path}: the morph format of mri_ca_register; turn it into an ITK field with "
            f"`mri_warp_convert --inm3z {path} --outitk OUT.nii.gz` (then --from itk)"
        )
    if name.endswith((".mgz", ".mgh")):
        return freesurfer_warp.read_mgz(path)
    image = load_nifti(path)
    vectors, grid = vectors_of(image, str(path))
    return from_array(lps_to_ras(vectors), grid)


def write(displacement: sitk.Image, path: Path, context: Context) -> None:
    """A NIfTI of intent 1006, an MGZ warp, or an .lta where the field is an affine. FreeSurfer knows only 3D."""
    grid, name = Grid.of(displacement), path.name.lower()
    if grid.dimension != 3:
        raise InputError(
            f"{path}: FreeSurfer's transforms are 3D and this displacement is 2D; choose another convention"
        )
    if name.endswith(".lta"):
        _write_lta(exact_affine(displacement, path), path, grid, context.moving)
        return
    if is_affine(displacement):
        warn(
            f"{path}: the displacement is an affine, and is written as vectors on the reference only; an .lta would"
            " hold all of it"
        )
    if name.endswith((".mgz", ".mgh")):
        freesurfer_warp.write_mgz(displacement, path, context.moving or grid)
    elif name.endswith((".nii", ".nii.gz")):
        write_displacement(displacement, path)
    else:
        raise InputError(f"{path}: FreeSurfer reads a warp as .nii.gz or .mgz and an affine as .lta; rename the output")


def _read_lta(path: Path, reference: Grid | None) -> sitk.Transform:
    lines = [
        line.split("#")[0].strip() for line in path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    ]
    lines = [line for line in lines if line]
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    try:
        kind = int(fields["type"])
        count = int(fields.get("nxforms", "1"))
        start = next(number for number, line in enumerate(lines, 1) if line.split() == ["1", "4", "4"])
        matrix = numbers_of(" ".join(lines[start : start + 4]).split(), str(path)).reshape(4, 4)
        source = _geometry(lines, "src volume info")
        destination = _geometry(lines, "dst volume info")
    except (KeyError, ValueError, IndexError, StopIteration, OverflowError) as error:
        raise InputError(f"{path}: not a whole .lta file; write it again, e.g. with lta_convert") from error
    if count != 1:
        raise InputError(f"{path}: it holds {count} transforms; join them with mri_concatenate_lta")
    check_affine(matrix, str(path))
    if kind == _VOXEL_TO_VOXEL:
        if source is None or destination is None:
            raise InputError(
                f"{path}: a voxel-to-voxel .lta without both volumes' geometry; write it with lta_convert --src --trg"
            )
        matrix = destination.ras_matrix() @ matrix @ np.linalg.inv(source.ras_matrix())
    elif kind != _RAS_TO_RAS:
        raise InputError(
            f"{path}: .lta of type {kind}; only types 0 (voxel) and 1 (RAS) are read; convert it with lta_convert"
        )
    if _takes_away(reference, source, destination):
        raise InputError(
            f"{path}: it takes the reference image to another one, and must take the moving image to the reference;"
            " give the other image as --reference, or invert the file with lta_convert --invert"
        )
    return itk_transform(flip_ras_lps(np.linalg.inv(matrix)))


def _takes_away(reference: Grid | None, source: Grid | None, destination: Grid | None) -> bool:
    """Whether the geometries in an .lta say that it leads from the reference image to another one."""
    if reference is None or source is None or destination is None:
        return False
    return source.same_as(reference, 0.05) and not destination.same_as(reference, 0.05)


def _geometry(lines: list[str], title: str) -> Grid | None:
    """The grid of a 'volume info' block, or None where it is marked invalid. Raises ValueError or KeyError."""
    block = lines[lines.index(title) + 1 :]
    values = {}
    for line in block:
        if "=" not in line:
            break
        key, value = line.split("=", 1)
        values[key.strip()] = value.split()
    if values["valid"][0] == "0":
        return None
    return freesurfer_warp.grid_of_geometry(
        size=tuple(int(n) for n in values["volume"]),
        spacing=np.array([float(n) for n in values["voxelsize"]]),
        axes_ras=np.array([[float(n) for n in values[key]] for key in ("xras", "yras", "zras")]).T,
        center_ras=np.array([float(n) for n in values["cras"]]),
    )


def _write_lta(affine: np.ndarray, path: Path, fixed: Grid, moving: Grid | None) -> None:
    matrix = np.linalg.inv(flip_ras_lps(affine))
    rows = "\n".join(" ".join(f"{value:.15e}" for value in row) for row in matrix)
    text = (
        "type      = 1 # LINEAR_RAS_TO_RAS\nnxforms   = 1\nmean      = 0.0000 0.0000 0.0000\nsigma     = 1.0000\n1 4"
        f" 4\n{rows}\nsrc volume info\n{_geometry_text(moving)}dst volume info\n{_geometry_text(fixed)}"
    )
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _geometry_text(grid: Grid | None) -> str:
    valid = int(grid is not None)
    grid = grid or Grid((256, 256, 256), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))
    axes, center = freesurfer_warp.geometry_of_grid(grid)
    rows: list[tuple[str, Sequence[float] | np.ndarray]] = [
        ("voxelsize", grid.spacing),
        ("xras  ", axes[:, 0]),
        ("yras  ", axes[:, 1]),
        ("zras  ", axes[:, 2]),
        ("cras  ", center),
    ]
    numbers = "".join(f"{key} = {' '.join(f'{value:.15e}' for value in values)}\n" for key, values in rows)
    return f"valid = {valid}\nfilename = none\nvolume = {' '.join(map(str, grid.size))}\n{numbers}"
