"""Label volumes of many frames as one `.seq.nrrd` that Slicer opens as a label sequence.

Written frame by frame, so that memory holds a few. The list axis is the slowest, as Slicer writes it since 5.10; Slicer
reads it since 5.8. `DataNodeClassName` makes Slicer take the frames for label maps.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..annotations.segment import Segment
from ..errors import InputError
from ..space.grid import Grid
from .atomic import atomic_write
from .nrrd import type_name
from .parallel_gzip import write_gzip
from .seg_nrrd import segment_fields
from .slicer_attributes import SEGMENT


@dataclass(frozen=True)
class SequenceFrame:
    """A label volume's file, its index value and attributes that its node shall have."""

    path: Path
    value: str
    attributes: Mapping[str, str] = field(default_factory=dict)


def write_label_sequence(
    path: Path,
    frames: Sequence[SequenceFrame],
    grid: Grid,
    index_name: str,
    index_unit: str,
    index_type: str = "numeric",
    segments: Sequence[Segment] = (),
) -> None:
    """All frames on `grid` (a frame of another geometry is resampled onto it), whole or not at all.

    Names, colours and terminology of `segments` become key/value pairs `VoxelMorph.Segment<N>_<Field>` with the fields
    of a `.seg.nrrd`, whose own keys would make Slicer take the sequence for one segmentation.

    Raises InputError when a frame cannot be read or the file not be written.
    """
    dtype = _common_type(frames)
    with atomic_write(path) as unfinished, open(unfinished, "wb") as stream:
        stream.write(_header(frames, grid, dtype, index_name, index_unit, index_type, segments).encode())
        write_gzip(stream, (partial(_values, frame.path, grid, dtype) for frame in frames))


def _values(path: Path, grid: Grid, dtype: np.dtype) -> bytes:
    return np.ascontiguousarray(_on_grid(_read(path), grid), dtype=dtype).tobytes()


def _read(path: Path) -> sitk.Image:
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read; delete it and start the run again to make it anew") from error


def _on_grid(labels: sitk.Image, grid: Grid) -> np.ndarray:
    if not Grid.of(labels).same_as(grid):
        labels = sitk.Resample(
            labels,
            grid.empty_image(sitk.sitkUInt8),
            sitk.Transform(grid.dimension, sitk.sitkIdentity),
            sitk.sitkNearestNeighbor,
            0.0,
            labels.GetPixelID(),
        )
    return sitk.GetArrayFromImage(labels)


def _common_type(frames: Sequence[SequenceFrame]) -> np.dtype:
    kinds = set()
    for frame in frames:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(frame.path))
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise InputError(
                f"{frame.path}: cannot be read; delete it and start the run again to make it anew"
            ) from error
        kinds.add(reader.GetPixelID())
    return np.result_type(*[sitk.GetArrayFromImage(sitk.Image([1, 1], kind)).dtype for kind in kinds]).newbyteorder("<")


def _header(
    frames: Sequence[SequenceFrame],
    grid: Grid,
    dtype: np.dtype,
    index_name: str,
    index_unit: str,
    index_type: str,
    segments: Sequence[Segment],
) -> str:
    size = [*grid.size, *[1] * (3 - grid.dimension)]
    axes = np.eye(3)
    axes[: grid.dimension, : grid.dimension] = grid.axes
    origin = [*grid.origin, *[0.0] * (3 - grid.dimension)]
    vectors = " ".join(_vector(axes[:, axis]) for axis in range(3))
    lines = [
        "NRRD0004",
        f"type: {type_name(dtype)}",
        "dimension: 4",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(n) for n in size)} {len(frames)}",
        f"space directions: {vectors} none",
        "kinds: domain domain domain list",
        f'labels: "" "" "" "{_quoted(index_name)}"',
        f'units: "" "" "" "{_quoted(index_unit)}"',
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(origin)}",
        "DataNodeClassName:=vtkMRMLLabelMapVolumeNode",
        f"axis 3 index type:={index_type}",
        # Slicer splits the values at spaces and decodes them as URLs.
        f"axis 3 index values:={' '.join(urllib.parse.quote(frame.value, safe='') or '_' for frame in frames)}",
    ]
    for number, segment in enumerate(segments):
        described = segment_fields(segment).items()
        lines += [f"{SEGMENT}{number}_{name}:={_one_line(value)}" for name, value in described]
    for number, frame in enumerate(frames):
        lines += [f"axis 3 item {number:04d} {name}:={_one_line(value)}" for name, value in frame.attributes.items()]
    return "\n".join(lines) + "\n\n"


def _vector(values: Iterable[float]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"


def _quoted(text: str) -> str:
    return text.replace('"', "'")


def _one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
