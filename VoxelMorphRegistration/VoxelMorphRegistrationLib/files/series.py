"""One file that holds a whole sequence (4D NRRD, `.seq.nrrd`, 4D NIfTI, ...), read one frame at a time.

Of an uncompressed file only the frame's own bytes are read. A gzip stream cannot be entered in the middle: it is
decompressed once, as far as it is asked for, into a temporary file (as large as the voxels) that frames are then read
from. A NRRD whose list axis is the fastest (Slicer up to 5.8) is rearranged once into such a file as well. Either way
memory holds one frame. Other formats go through SimpleITK, which may decompress the whole file for each frame.
"""

from __future__ import annotations

import gzip
import math
import tempfile
import threading
import urllib.parse
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..space.checks import check_geometry
from ..space.grid import Grid
from .images import read_image
from .nifti import check_spacing
from .nrrd import NrrdHeader, read_nrrd_header

_BLOCK = 1 << 24


class SeriesFile:
    """The frames of one file. Safe to read from one thread at a time.

    Attributes:
        count: of frames.
        index_name, index_unit, index_type: of what distinguishes the frames, as in a Slicer sequence.
        values: the index value of each frame, as text.
    """

    count: int
    index_name, index_unit, index_type = "frame", "", "numeric"
    values: list[str]

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, index: int) -> sitk.Image:
        """Raises InputError, naming file and frame, when it cannot be read whole."""
        raise NotImplementedError


def open_series(path: Path) -> SeriesFile:
    """Raises InputError when the file is missing, damaged, or holds no sequence of scalar 3D (or, in NRRD, 2D)
    images.
    """
    name = path.name.lower()
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; write or copy it again")
    if name.endswith((".nrrd", ".nhdr")):
        return _NrrdSeries(path)
    if name.endswith((".nii", ".nii.gz")):
        return _NiftiSeries(path)
    return _ItkSeries(path)


class _Bytes:
    """Random access to the bytes of a file or of a gzip stream inside it."""

    def __init__(self, path: Path, stream: BinaryIO, start: int = 0, packed: gzip.GzipFile | None = None) -> None:
        self._path, self._stream, self._start, self._packed = path, stream, start, packed
        self._ready = 0
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, offset: int, compressed: bool) -> _Bytes:
        try:
            stream = open(path, "rb")
            stream.seek(offset)
            if not compressed:
                return cls(path, stream, offset)
            return cls(path, tempfile.TemporaryFile(prefix="voxelmorph-sequence-"), 0, gzip.GzipFile(fileobj=stream))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error

    def read(self, start: int, count: int) -> bytes:
        """`count` bytes, or fewer where the file is cut short."""
        with self._lock:
            if self._packed is not None:
                self._unpack(self._packed, start + count)
            self._stream.seek(self._start + start)
            return self._stream.read(count)

    def _unpack(self, packed: gzip.GzipFile, needed: int) -> None:
        self._stream.seek(self._ready)
        while self._ready < needed:
            try:
                block = packed.read(min(_BLOCK, needed - self._ready))
            except (EOFError, zlib.error, gzip.BadGzipFile):
                return  # Cut short or damaged: what lies before is whole.
            if not block:
                return
            try:
                self._stream.write(block)
            except OSError as error:
                raise InputError(
                    f"{self._path}: no room to decompress it in {tempfile.gettempdir()}; "
                    "free space, or point TMPDIR elsewhere"
                ) from error
            self._ready += len(block)


class _RawSeries(SeriesFile):
    """Frames stored one after the other: `count` times the bytes of one frame."""

    def __init__(self, path: Path, grid: Grid, dtype: np.dtype, data: _Bytes, offset: int) -> None:
        super().__init__(path)
        self._grid, self._dtype, self._data, self._offset = grid, dtype, data, offset

    def read(self, index: int) -> sitk.Image:
        size = math.prod(self._grid.size) * self._dtype.itemsize
        found = self._data.read(self._offset + index * size, size)
        if len(found) < size:
            raise InputError(f"{self.path}: frame {index} is cut short; copy or download the file again")
        array = np.frombuffer(found, self._dtype).reshape(self._grid.shape)
        return self._grid.image(self._scaled(array.astype(self._dtype.newbyteorder("="), copy=False)))

    def _scaled(self, array: np.ndarray) -> np.ndarray:
        return array


class _NrrdSeries(_RawSeries):
    def __init__(self, path: Path) -> None:
        header = read_nrrd_header(path)
        axis = _list_axis(header)
        self.count = header.sizes[axis]
        data = _Bytes.open(header.data, header.offset, header.encoding == "gzip")
        if axis != len(header.sizes) - 1:
            data = _rearranged(header, data, axis)
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


class _NiftiSeries(_RawSeries):
    def __init__(self, path: Path) -> None:
        import nibabel

        reader = _information(path)
        size = reader.GetSize()
        if reader.GetDimension() != 4 or reader.GetNumberOfComponents() != 1:
            raise _no_sequence(path, size, reader.GetNumberOfComponents())
        stored: Any = nibabel.load(str(path))
        header, voxels = stored.header, stored.dataobj
        check_spacing(path, header, 3)
        grid = _spatial_grid(reader)
        self._slope, self._intercept = float(voxels.slope), float(voxels.inter)
        data = _Bytes.open(path, 0, path.name.lower().endswith(".gz"))
        super().__init__(path, grid, header.get_data_dtype(), data, int(voxels.offset))
        self.count = size[3]
        step, unit = float(header["pixdim"][4]), header.get_xyzt_units()[1]
        if math.isfinite(step) and step > 0 and unit != "unknown":
            self.index_name, self.index_unit = "time", {"sec": "s", "msec": "ms", "usec": "us"}.get(unit, unit)
            self.values = [f"{index * step:.9g}" for index in range(self.count)]
        else:
            self.values = [str(index) for index in range(self.count)]

    def _scaled(self, array: np.ndarray) -> np.ndarray:
        if self._slope == 1.0 and self._intercept == 0.0:
            return array
        return (array * self._slope + self._intercept).astype(np.float32)


class _ItkSeries(SeriesFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        reader = _information(path)
        if reader.GetDimension() != 4 or reader.GetNumberOfComponents() != 1:
            raise _no_sequence(path, reader.GetSize(), reader.GetNumberOfComponents())
        self._grid = _spatial_grid(reader)
        self.count = reader.GetSize()[3]
        self.values = [str(index) for index in range(self.count)]

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
        raise _no_sequence(header.path, header.sizes, 1)
    return listed[0]


def _nrrd_grid(header: NrrdHeader, list_axis: int) -> Grid:
    axes = [axis for axis in range(len(header.sizes)) if axis != list_axis]
    given = dict(enumerate(header.directions()))
    steps = [np.eye(3)[n] if (step := given.get(axis)) is None else step for n, axis in enumerate(axes)]
    matrix = np.eye(len(axes) + 1)
    matrix[:-1, :-1] = np.stack(steps, axis=1)[: len(axes)]
    matrix[:-1, -1] = header.origin()[: len(axes)]
    try:
        grid = Grid.from_matrix(tuple(header.sizes[axis] for axis in axes), matrix)
    except ValueError as error:
        raise InputError(f"{header.path}: its spacing is not positive; correct the file's header") from error
    check_geometry(_header_only(grid), str(header.path))
    return grid


def _header_only(grid: Grid) -> sitk.Image:
    """One voxel with the geometry of the grid: enough to be checked."""
    image = sitk.Image([1] * grid.dimension, sitk.sitkUInt8)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    try:
        image.SetDirection(grid.direction)
    except RuntimeError:
        raise InputError(f"direction {grid.direction}: singular; correct the file's header") from None
    return image


def _rearranged(header: NrrdHeader, data: _Bytes, axis: int) -> _Bytes:
    """The frames one after the other in a temporary file, made block by block."""
    if axis != 0:
        raise InputError(f"{header.path}: its list axis lies between the others; save the sequence again in Slicer")
    frames, voxels = header.sizes[0], math.prod(header.sizes[1:])
    width = header.dtype.itemsize
    try:
        storage = tempfile.TemporaryFile(prefix="voxelmorph-sequence-")
        target = np.memmap(storage, header.dtype, "w+", shape=(frames, voxels))
        block = max(1, _BLOCK // (frames * width))
        for start in range(0, voxels, block):
            count = min(block, voxels - start)
            found = data.read(start * frames * width, count * frames * width)
            if len(found) < count * frames * width:
                raise InputError(f"{header.path}: the file is cut short; copy or download it again")
            target[:, start : start + count] = np.frombuffer(found, header.dtype).reshape(count, frames).T
        target.flush()
    except OSError as error:
        raise InputError(
            f"{header.path}: no room to rearrange it in {tempfile.gettempdir()}; free space, or point TMPDIR elsewhere"
        ) from error
    return _Bytes(header.path, storage)


def _information(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        read_image(path)  # It tells more exactly what is wrong.
        raise InputError(f"{path}: cannot be read as an image; give a whole image file") from error
    return reader


def _spatial_grid(reader: sitk.ImageFileReader) -> Grid:
    """The first three axes of a 4D header."""
    direction = np.reshape(reader.GetDirection(), (4, 4))[:3, :3]
    size, spacing, origin = reader.GetSize()[:3], reader.GetSpacing()[:3], reader.GetOrigin()[:3]
    grid = Grid(tuple(size), tuple(spacing), tuple(origin), tuple(direction.ravel().tolist()))
    check_geometry(_header_only(grid), reader.GetFileName())
    return grid


def _no_sequence(path: Path, size: tuple[int, ...], components: int) -> InputError:
    what = f"{components} numbers a voxel and " if components > 1 else ""
    return InputError(
        f"{path}: holds {what}{len(size)} axes {tuple(size)}, a sequence has one scalar 3D image a frame; "
        "give a 4D file, a folder or list of images, or a .seq.nrrd"
    )
