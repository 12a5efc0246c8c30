"""One file that holds a whole sequence (4D NRRD, `.seq.nrrd`, 4D NIfTI, ...), read one frame at a time.

Of an uncompressed file only the frame's own bytes are read. A compressed stream cannot be entered in the middle: it is
decompressed once, whole, into a temporary file (as large as the voxels) that frames are then read from; the checksum at
its end says if any frame can be believed. A NRRD whose list axis is the fastest (Slicer up to 5.8) is put in order in
one pass into such a file as well (`interleaved`). `preparation` tells of the pass before it is done, and it is done by
`prepare` or by the first frame that is read. Either way memory holds one frame. Other formats go through SimpleITK,
which decompresses a compressed file from its beginning for each frame.
"""

from __future__ import annotations

import math
import urllib.parse
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, error_summary
from ..space.grid import Grid
from .compressed import check_claimed, is_gzip
from .detached import check_readable
from .dicom import check_dicom_file
from .images import check_image, header_of, image_information, number_bytes, stored_bytes
from .interleaved import in_order
from .metaimage import PlainVoxels, check_metaimage, plain_voxels
from .nifti import check_nifti, check_spacing, nifti_header, units
from .nrrd import NrrdHeader, read_nrrd_header
from .random_access import RandomAccess, unpacked
from .series_file import RawSeries, SeriesFile, check_grid, no_sequence, spatial_grid

if TYPE_CHECKING:
    import nibabel


def open_series(path: Path, shared: bool = False) -> SeriesFile:
    """The frames of a file; no voxel is read yet.

    Args:
        shared: other processes read the file too, and one temporary file serves them all where one is needed.

    Raises InputError when the file is missing, its header damaged, or holds no sequence of scalar 3D (or, in NRRD, 2D)
    images.
    """
    name = path.name.lower()
    check_readable(path)
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; write or copy it again")
    if name.endswith((".nrrd", ".nhdr")):
        return _NrrdSeries(path, shared)
    if name.endswith((".nii", ".nii.gz")):
        return _NiftiSeries(path, shared)
    if name.endswith((".mha", ".mhd")):
        check_metaimage(path, voxels=False)  # ITK ends the process over some damaged headers.
        if (voxels := plain_voxels(path)) is not None:
            return _MetaImageSeries(path, voxels, shared)
    return _ItkSeries(path)


class _NrrdSeries(RawSeries):
    def __init__(self, path: Path, shared: bool) -> None:
        header = read_nrrd_header(path)
        axis = _list_axis(header)
        self.count = header.sizes[axis]
        whole, stored = math.prod(header.sizes) * header.dtype.itemsize, header.data.stat().st_size
        check_claimed(path, whole, stored)
        data: RandomAccess
        if axis == 0 and self.count > 1:
            if header.encoding == "raw" and stored < header.offset + whole:
                raise InputError(f"{path}: the file is cut short; copy or download it again")
            data = in_order(header, shared)
        elif axis in (0, len(header.sizes) - 1):
            packed = header.encoding == "gzip"
            data = (
                unpacked(path, header.data, header.offset, "gzip", whole, shared=shared)
                if packed
                else RandomAccess(header.data, header.offset)
            )
        else:
            raise InputError(f"{path}: its list axis lies between the others; save the sequence again in Slicer")
        super().__init__(path, _nrrd_grid(header, axis), header.dtype, data, 0)
        self._describe(header, axis)

    def _describe(self, header: NrrdHeader, axis: int) -> None:
        self.index_name = header.labels()[axis] or "frame"
        self.index_unit = header.labels("units")[axis]
        keys = {key.lower(): value for key, value in header.metadata.items()}
        self.index_type = next(
            (keys[k] for k in (f"axis {axis} index type", "axis 0 index type") if k in keys), "numeric"
        )
        values = next((keys[k] for k in (f"axis {axis} index values", "axis 0 index values") if k in keys), None)
        if values is not None:
            self.values = [urllib.parse.unquote(value) for value in values.split()]
        elif "multivolume.framelabels" in keys:
            self.values = [value.strip() for value in keys["multivolume.framelabels"].split(",")]
            self.index_name = keys.get("multivolume.frameidentifyingdicomtagname", self.index_name)
            self.index_unit = keys.get("multivolume.frameidentifyingdicomtagunits", self.index_unit)
        else:
            self.values = []
        if len(self.values) != self.count or len(set(self.values)) != self.count:
            self.values = [str(index) for index in range(self.count)]


class _NiftiSeries(RawSeries):
    def __init__(self, path: Path, shared: bool) -> None:
        header = nifti_header(path)
        if header is not None:
            check_spacing(path, header, 3)
        try:
            reader = header_of(path)
        except InputError:
            check_nifti(path)  # It tells more exactly what is wrong.
            raise
        size = reader.GetSize()
        if header is None or reader.GetDimension() != 4 or reader.GetNumberOfComponents() != 1:
            raise no_sequence(path, size, reader.GetNumberOfComponents())
        try:
            dtype, (slope, intercept) = header.get_data_dtype(), header.get_slope_inter()
            offset = int(header.get_data_offset())
        except Exception as error:  # nibabel has errors of its own for a damaged header
            raise InputError(f"{path}: its header is damaged ({error_summary(error)}); export it again") from error
        self._slope, self._intercept = slope or 1.0, intercept or 0.0
        self.count = size[3]
        data = RandomAccess(path)
        if is_gzip(path):
            whole = max(0, offset) + math.prod(size) * dtype.itemsize
            data = unpacked(path, path, 0, "gzip", whole, shared=shared)
        super().__init__(path, spatial_grid(reader), dtype, data, offset)
        self._describe(header)

    def _describe(self, header: nibabel.Nifti1Header) -> None:
        """NIfTI has single precision: the shortest number that is stored as the same is what was meant."""
        step, start = (Decimal(str(np.float32(value))) for value in (header["pixdim"][4], header["toffset"]))
        unit = units(header)[1]
        if step.is_finite() and step > 0 and unit != "unknown":
            self.index_name, self.index_unit = "time", {"sec": "s", "msec": "ms", "usec": "us"}.get(unit, unit)
            start = start if start.is_finite() else Decimal(0)
            self.values = [_plain(start + index * step) for index in range(self.count)]
        else:
            self.values = [str(index) for index in range(self.count)]

    def _scaled(self, array: np.ndarray) -> np.ndarray:
        if self._slope == 1.0 and self._intercept == 0.0:
            return array
        return (array * self._slope + self._intercept).astype(np.float32)


class _MetaImageSeries(RawSeries):
    def __init__(self, path: Path, voxels: PlainVoxels, shared: bool) -> None:
        reader = header_of(path)
        size = reader.GetSize()
        if reader.GetDimension() != 4 or reader.GetNumberOfComponents() != 1:
            raise no_sequence(path, size, reader.GetNumberOfComponents())
        self.count = size[3]
        self.values = [str(index) for index in range(self.count)]
        data = RandomAccess(voxels.data, voxels.offset)
        if voxels.packed:
            whole = math.prod(size) * voxels.dtype.itemsize
            data = unpacked(path, voxels.data, voxels.offset, "zlib", whole, voxels.stored, shared)
        super().__init__(path, spatial_grid(reader), voxels.dtype, data, 0)


class _ItkSeries(SeriesFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        check_image(path)  # ITK ends the process over some damaged headers.
        reader = image_information(path)
        check_dicom_file(path, reader)
        if reader.GetDimension() != 4 or reader.GetNumberOfComponents() != 1:
            raise no_sequence(path, reader.GetSize(), reader.GetNumberOfComponents())
        self._grid = spatial_grid(reader)
        self.count = reader.GetSize()[3]
        self.values = [str(index) for index in range(self.count)]
        self.frame_bytes = math.prod(self._grid.size) * number_bytes(reader)
        if stored_bytes(path) < self.count * self.frame_bytes:
            self.preparation = (
                "compressed in a way that every frame is unpacked from the file's beginning, which is slow; save the "
                "sequence as one .nrrd file"
            )

    def read(self, index: int) -> sitk.Image:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(self.path))
        reader.SetExtractIndex([0, 0, 0, index])
        reader.SetExtractSize([*self._grid.size, 0])
        try:
            return self._grid.stamp(reader.Execute())
        except RuntimeError as error:
            raise InputError(f"{self.path}: frame {index} cannot be read; copy or download the file again") from error


def _list_axis(header: NrrdHeader) -> int:
    """The axis along which frames follow each other; the other two or three must be space."""
    listed = [axis for axis, kind in enumerate(header.kinds) if kind in ("list", "time")]
    if not listed:
        listed = [axis for axis, vector in enumerate(header.directions()) if vector is None]
    if not listed and len(header.sizes) == 4:
        listed = [3]
    spatial = [axis for axis in range(len(header.sizes)) if axis not in listed]
    if len(listed) != 1 or len(spatial) not in (2, 3):
        raise no_sequence(header.path, header.sizes, 1)
    return listed[0]


def _nrrd_grid(header: NrrdHeader, list_axis: int) -> Grid:
    grid = header.grid([axis for axis in range(len(header.sizes)) if axis != list_axis])
    check_grid(grid, str(header.path))
    return grid


def _plain(value: Decimal) -> str:
    """Without exponent and without zeros at the end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
