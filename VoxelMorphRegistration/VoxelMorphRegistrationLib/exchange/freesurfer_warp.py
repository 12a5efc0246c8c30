"""FreeSurfer's MGZ files that hold a displacement.

A warp has intent 3 in the upper bytes of the version word, 3 frames on the target (fixed) geometry, and behind the
voxels tag 10 (or 15, with shear) with source and target geometry and tag 13 with the kind of content: positions or
displacements, in voxels of the source or in RAS mm (surfa/transform/warp.py and surfa/io/framed.py, version 0.6). An
MGZ of 3 frames without these is what mri_synthmorph wrote before: RAS displacements.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, error_summary
from ..files.atomic import atomic_write
from ..files.compressed import check_expansion, is_gzip
from ..files.detached import check_readable
from ..files.nifti_vectors import grid_of_affine, vectors_of
from ..space.affine import lps_to_ras
from ..space.displacement import from_array
from ..space.grid import Grid

_WARP_INTENT, _INVERSE_WARP_INTENT = 3, 4
_POSITION_VOXEL, _DISPLACEMENT_VOXEL, _POSITION_RAS, _DISPLACEMENT_RAS = range(4)
_GEOMETRY_TAG, _SHEARED_GEOMETRY_TAG, _META_TAG = 10, 15, 13
_HEADER_BYTES, _FOOTER_BYTES = 284, 20
_GEOMETRY = ">i3i15f512s"  # valid, size, spacing (3), axes (9, column by column), centre (3), file name
_SHEARED_GEOMETRY = ">i3i18f512s"
_META = ">iif"
_VOXEL_BYTES = {0: 1, 1: 4, 3: 4, 4: 2, 10: 2}
_MOST_TAG_BYTES = 1 << 24


def read_mgz(path: Path) -> sitk.Image:
    """The displacement in an .mgz or .mgh on its own grid. Raises InputError."""
    import nibabel

    try:
        raw = _whole(path)
        (version,) = struct.unpack(">i", raw[:4])
        intent = version >> 8 & 0xFFFF
        image = nibabel.MGHImage.from_bytes(struct.pack(">i", 1) + raw[4:])
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: not readable as MGZ ({error_summary(error)}); copy or export it again") from error
    if intent == _INVERSE_WARP_INTENT:
        raise InputError(f"{path}: an inverse warp; write the forward one with mri_warp_convert")
    vectors, grid = vectors_of(image, str(path))
    kind, source = _DISPLACEMENT_RAS, grid
    if intent == _WARP_INTENT:
        kind, source = _read_tags(raw, int(np.prod(image.shape)) * image.header.get_data_dtype().itemsize, grid, path)
    if kind in (_POSITION_VOXEL, _DISPLACEMENT_VOXEL):
        if kind == _DISPLACEMENT_VOXEL:
            index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)[..., ::-1]
            vectors = vectors + index
        vectors = source.to_physical(vectors)
        return from_array(vectors - grid.points(), grid)
    lps = lps_to_ras(vectors)
    return from_array(lps - grid.points() if kind == _POSITION_RAS else lps, grid)


def _whole(path: Path) -> bytes:
    """All bytes of a file, unpacked, once it is known that it can hold the voxels that its header claims."""
    check_readable(path)
    with gzip.open(path) if is_gzip(path) else open(path, "rb") as stream:
        start = stream.read(_HEADER_BYTES)
        *size, kind = struct.unpack(">5i", start[4:24])
        if min(size) < 1 or kind not in _VOXEL_BYTES:
            raise InputError(f"{path}: its header says size {size} and type {kind}; copy or export it again")
        claimed = math.prod(size) * _VOXEL_BYTES[kind]
        if is_gzip(path):
            check_expansion(path, claimed, path.stat().st_size)
        elif claimed > path.stat().st_size:
            raise InputError(f"{path}: the file is cut short; copy or export it again")
        raw = start + stream.read(claimed + _MOST_TAG_BYTES)
        if len(raw) < _HEADER_BYTES + claimed:
            raise InputError(f"{path}: the file is cut short; copy or export it again")
        if stream.read(1):
            raise InputError(f"{path}: it holds more than its header says; copy or export it again")
    return raw


def write_mgz(displacement: sitk.Image, path: Path, source: Grid) -> None:
    """An MGZ warp of RAS displacements; `source` is the moving image's grid."""
    import nibabel

    target = Grid.of(displacement)
    vectors = lps_to_ras(sitk.GetArrayFromImage(displacement)).transpose(2, 1, 0, 3).astype(np.float32)
    raw = nibabel.MGHImage(vectors, target.ras_matrix()).to_bytes()
    whole = struct.pack(">i", _WARP_INTENT << 8 | 1) + raw[4 : _HEADER_BYTES + vectors.nbytes]
    whole += b"\0" * _FOOTER_BYTES
    whole += struct.pack(">i", _GEOMETRY_TAG) + _pack_geometry(source) + _pack_geometry(target)
    whole += struct.pack(">iq", _META_TAG, struct.calcsize(_META)) + struct.pack(_META, _DISPLACEMENT_RAS, 1, 0.0)
    with atomic_write(path) as partial:
        partial.write_bytes(gzip.compress(whole) if path.name.lower().endswith("z") else whole)


def grid_of_geometry(size: tuple[int, ...], spacing: np.ndarray, axes_ras: np.ndarray, center_ras: np.ndarray) -> Grid:
    """The grid of FreeSurfer's volume geometry, whose centre is the RAS point of index size / 2."""
    affine = np.eye(4)
    affine[:3, :3] = axes_ras * spacing
    affine[:3, 3] = center_ras - affine[:3, :3] @ (np.asarray(size) / 2)
    return grid_of_affine(size, affine, "volume geometry")


def geometry_of_grid(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) unit axes as columns and the centre, RAS, of a grid as FreeSurfer writes them."""
    affine = grid.ras_matrix()
    return affine[:3, :3] / np.asarray(grid.spacing), affine[:3, :3] @ (np.asarray(grid.size) / 2) + affine[:3, 3]


def _read_tags(raw: bytes, data_bytes: int, target: Grid, path: Path) -> tuple[int, Grid]:
    """What the warp holds, and the source (moving) grid, from the tags behind the voxels."""
    position = _HEADER_BYTES + data_bytes + _FOOTER_BYTES
    kind, source = None, None
    try:
        while position + 4 <= len(raw):
            (tag,) = struct.unpack_from(">i", raw, position)
            position += 4
            if tag == 0:
                break
            if tag == _GEOMETRY_TAG:
                source = _unpack_geometry(raw, position, _GEOMETRY)
                position += 2 * struct.calcsize(_GEOMETRY)
                continue
            (length,) = struct.unpack_from(">q", raw, position)
            position += 8
            if tag == _SHEARED_GEOMETRY_TAG:
                source = _unpack_geometry(raw, position, _SHEARED_GEOMETRY)
            elif tag == _META_TAG:
                kind = struct.unpack_from(_META, raw, position)[0]
            position += length
    except struct.error as error:
        raise InputError(f"{path}: the file is cut short; copy or export it again") from error
    if kind is None or kind not in range(4):
        raise InputError(f"{path}: a warp that does not say what it holds; write it again with mri_warp_convert")
    if source is None:
        if kind in (_POSITION_VOXEL, _DISPLACEMENT_VOXEL):
            raise InputError(
                f"{path}: a warp in voxels without the source geometry; write it again with mri_warp_convert"
            )
        source = target
    return kind, source


def _unpack_geometry(raw: bytes, position: int, layout: str) -> Grid | None:
    valid, *numbers = struct.unpack_from(layout, raw, position)
    size, rest = tuple(numbers[:3]), np.array(numbers[3:18])
    if not valid:
        return None
    return grid_of_geometry(size, rest[:3], rest[3:12].reshape(3, 3).T, rest[12:15])


def _pack_geometry(grid: Grid) -> bytes:
    axes, center = geometry_of_grid(grid)
    return struct.pack(_GEOMETRY, 1, *grid.size, *grid.spacing, *axes.T.ravel(), *center, b"")
