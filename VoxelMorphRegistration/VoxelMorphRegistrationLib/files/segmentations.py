"""Segmentations in and out of files: label images and Slicer's `.seg.nrrd`."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from ..annotations.segment import Segment
from ..annotations.segmentation import Segmentation, check_labelled, label_values
from ..errors import InputError
from ..space.checks import check_geometry, check_labels, check_scalar
from . import seg_nrrd
from .atomic import atomic_write
from .detached import check_readable
from .images import check_output, header_of, load_image, read_labels, write_image
from .label_names import add_label_table, holds_names, named_segments

_NRRD = (".nrrd", ".nhdr")


def read_segmentation(path: str | Path, may_be_empty: bool = False) -> Segmentation:
    """The segmentation in a label image file or in Slicer's `.seg.nrrd`; a cropped one lies where its voxels lie.

    Label images have the names and colours that `label_names` finds for them.

    Raises InputError, naming the file, for what `images.read_labels` refuses, for a header that contradicts itself, and
    when no voxel is labelled (unless it `may_be_empty`).
    """
    path = Path(path)
    fields = _header(path) if _is_nrrd(path) else {}
    if seg_nrrd.is_segmentation(fields):
        segmentation = _read_seg_nrrd(path, fields)
    else:
        labels = read_labels(path)
        if labels.GetDimension() > 3:
            raise InputError(
                f"{path}: has 4 dimensions {labels.GetSize()}, one label image is needed; give one frame of it"
            )
        labels = _without_fields(labels)
        segmentation = Segmentation.of(labels, segments=named_segments(path, label_values(labels)))
    if not may_be_empty:
        check_labelled(segmentation, str(path))
    return segmentation


def write_segmentation(segmentation: Segmentation, path: str | Path) -> None:
    """Write whole or not at all. A 3D `.nrrd` (`.seg.nrrd` or a plain name) carries names, colours and terminology, a
    NIfTI file names and colours.

    Raises InputError when it cannot be written, and where `check_place_for` does.
    """
    path = Path(path)
    check_place_for(segmentation, path)
    layers, grid = segmentation.layers, segmentation.grid
    image = sitk.Image(layers[0]) if len(layers) == 1 else sitk.Compose(list(layers))
    named = [segment for segment in segmentation.segments if not segment.is_unnamed]
    if _is_nrrd(path) and grid.dimension == 3:
        fields = seg_nrrd.header_fields(segmentation.segments, segmentation.extents(), segmentation.common, grid)
        for key, value in fields.items():
            image.SetMetaData(key, value)
    elif named and holds_names(path):
        check_output(path)
        with atomic_write(path) as partial:
            write_image(image, partial)
            add_label_table(partial, named)
        return
    write_image(image, path)


def check_place_for(segmentation: Segmentation, path: str | Path) -> None:
    """Raises InputError where overlapping segments are to go into a file that holds one label image."""
    path = Path(path)
    if len(segmentation.layers) > 1 and not path.name.lower().endswith(tuple(f".seg{end}" for end in _NRRD)):
        raise InputError(f"{path}: overlapping segments do not fit one label image; end the name in .seg.nrrd")


def lost_in(segmentation: Segmentation, path: str | Path) -> str:
    """What a file of this name has no place for, in words; '' where nothing is lost."""
    path = Path(path)
    if all(segment.is_unnamed for segment in segmentation.segments):
        return ""
    if _is_nrrd(path) and segmentation.grid.dimension == 3:
        return ""
    if not holds_names(path):
        return "names, colours and terminology of the segments"
    return "terminology of the segments" if any(segment.tags.strip("|") for segment in segmentation.segments) else ""


def _is_nrrd(path: Path) -> bool:
    return path.name.lower().endswith(_NRRD)


def _header(path: Path) -> dict[str, str]:
    """The key/value fields of a file; none when it cannot be read, which reading its voxels will explain."""
    try:
        check_readable(path)
        reader = header_of(path)
    except InputError:
        return {}
    # A key that is no text names no field of Slicer's, and cannot be asked for.
    return {key: _readable(reader.GetMetaData(key)) for key in reader.GetMetaDataKeys() if _is_text(key)}


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _readable(text: str) -> str:
    """SimpleITK hands out bytes that are not UTF-8 (names typed on old systems) as surrogates and refuses them back."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _read_seg_nrrd(path: Path, fields: dict[str, str]) -> Segmentation:
    image = load_image(path)
    try:
        segments, common = seg_nrrd.parse(fields)
    except ValueError as error:
        raise InputError(f"{path}: {error}; save the segmentation again in Slicer") from error
    layers = _split(image)
    for layer in layers:
        check_scalar(layer, str(path))
        check_geometry(layer, str(path))
        check_labels(layer, str(path))
    claimed: dict[tuple[int, int], Segment] = {}
    for segment in segments:
        if not 0 <= segment.layer < len(layers):
            raise InputError(
                f"{path}: segment {segment.name!r} is said to be in layer {segment.layer}, the file has {len(layers)}; "
                "save the segmentation again in Slicer"
            )
        other = claimed.setdefault((segment.layer, segment.label), segment)
        if other is not segment:
            raise InputError(
                f"{path}: segments {other.name!r} and {segment.name!r} are the same voxels (layer {segment.layer}, "
                f"value {segment.label}); save the segmentation again in Slicer"
            )
    return Segmentation.of(*layers, segments=segments, common=common)


def _split(image: sitk.Image) -> list[sitk.Image]:
    """The layers: components of a voxel, or the fourth axis of the oldest files."""
    image = _without_fields(image)
    if image.GetDimension() == 4:
        return [image[..., number] for number in range(image.GetSize()[3])]
    if "vector" in image.GetPixelIDTypeAsString():
        return [sitk.VectorIndexSelectionCast(image, number) for number in range(image.GetNumberOfComponentsPerPixel())]
    return [image]


def _without_fields(image: sitk.Image) -> sitk.Image:
    """Header fields of the input file must not turn up in files that are made from it."""
    for key in filter(_is_text, image.GetMetaDataKeys()):
        image.EraseMetaData(key)
    return image
