"""The segmented frames of a sequence, and which of them serves which frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import SimpleITK as sitk

from ..annotations.segment import Segment
from ..annotations.segment_matching import match_segments
from ..annotations.segmentation import Segmentation, check_labelled
from ..errors import InputError
from ..files.segmentations import read_segmentation
from ..space.checks import check_labels
from ..space.grid import Grid
from .frames import Frames
from .quality import FrameQuality


@dataclass(frozen=True)
class Reference:
    """A segmented frame. The segmentation lies on the frame's grid; it is None when only points are carried.

    The segmentations of several frames have their segments in common, see `annotations.segment_matching`; `renumbered`
    says that label values are not those that were given.
    """

    index: int
    image: sitk.Image
    segmentation: Segmentation | None
    notes: tuple[str, ...] = field(default=())
    renumbered: bool = False


Source = Segmentation | sitk.Image | str | Path | None


def open_references(
    frames: Frames, segmentation: Source | Sequence[Source], reference: int | Sequence[int]
) -> list[Reference]:
    """The segmented frames, ascending.

    Args:
        segmentation: one for each reference frame; None for a frame on which only points or a surface were drawn.
        reference: frame numbers, from 0; negative ones count from the end.

    Raises InputError for a frame number that is not there or named twice, for another number of segmentations than of
    frames, for a frame without content, for a segmentation that does not lie on its frame, for several of which some
    have overlapping segments and some have not, and for several whose segments cannot be told apart.
    """
    sources = _listed(segmentation)
    numbers = [reference] if isinstance(reference, int) else list(reference)
    if len(sources) != len(numbers):
        raise InputError(
            f"reference frames: {len(sources)} segmentation(s) and {len(numbers)} frame number(s); "
            "give one for each other"
        )
    count = len(frames)
    for number in numbers:
        if not -count <= number < count:
            raise InputError(
                f"reference frame {number}: the sequence has the frames 0 to {count - 1}; choose one of them"
            )
    numbers = [number % count for number in numbers]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"reference frames {sorted(numbers)}: one is named twice; give one segmentation a frame")
    found = [
        _open(frames, source, number) for source, number in sorted(zip(sources, numbers), key=lambda pair: pair[1])
    ]
    if len({len(one.segmentation.layers) for one in found if one.segmentation is not None}) > 1:
        raise InputError(
            "reference frames: some segmentations have overlapping segments and some have not; draw them alike"
        )
    return _with_common_segments(found)


def segments_of(references: Sequence[Reference]) -> tuple[Segment, ...]:
    """Every segment of the references, each once."""
    drawn = [one.segmentation for one in references if one.segmentation is not None]
    found = {segment.label: segment for segmentation in reversed(drawn) for segment in segmentation.segments}
    return tuple(found[label] for label in sorted(found))


def _with_common_segments(references: list[Reference]) -> list[Reference]:
    drawn = {one.index: one.segmentation for one in references if one.segmentation is not None}
    matched = match_segments(list(drawn.values()), [f"segmentation of frame {index}" for index in drawn])
    for index, segmentation, notes in zip(drawn, matched.segmentations, matched.notes):
        number = next(number for number, one in enumerate(references) if one.index == index)
        one = references[number]
        renumbered = segmentation.labels() != drawn[index].labels() or any(
            old.label != new.label for old, new in zip(drawn[index].segments, segmentation.segments)
        )
        references[number] = replace(one, segmentation=segmentation, notes=(*one.notes, *notes), renumbered=renumbered)
    return references


def files_of(segmentation: Source | Sequence[Source]) -> list[str | Path]:
    """Those of the segmentations that are given as files."""
    return [source for source in _listed(segmentation) if isinstance(source, (str, Path))]


def _listed(segmentation: Source | Sequence[Source]) -> list[Source]:
    if segmentation is None or isinstance(segmentation, (Segmentation, sitk.Image, str, Path)):
        return [segmentation]
    return list(segmentation)


def assign(
    references: Sequence[Reference], frames: Frames, indices: Sequence[int]
) -> list[tuple[Reference, list[int]]]:
    """Each reference with the frames it serves, ascending: the nearest one, at equal distance the more similar."""
    served: dict[int, list[int]] = {reference.index: [] for reference in references}
    for index in indices:
        distance = min(abs(reference.index - index) for reference in references)
        nearest = [reference for reference in references if abs(reference.index - index) == distance]
        chosen = nearest[0] if len(nearest) == 1 else _more_similar(nearest, frames, index)
        served[chosen.index].append(index)
    return [(reference, served[reference.index]) for reference in references if served[reference.index]]


def _open(frames: Frames, source: Source, number: int) -> Reference:
    try:
        image = frames[number]
    except InputError as error:
        raise InputError(f"reference frame {number}: {error}") from error
    values = sitk.GetArrayViewFromImage(image)
    if values.size and values.min() == values.max():
        raise InputError(
            f"reference {frames.name(number)}: all its voxels are {values.flat[0]}; choose a frame with content"
        )
    if source is None:
        return Reference(number, image, None)
    name = str(source) if isinstance(source, (str, Path)) else "segmentation"
    segmentation = _segmentation(source)
    grid = Grid.of(image)
    placement = segmentation.placement(grid) if segmentation.grid.dimension == grid.dimension else "resampled"
    notes = (f"{name}: resampled onto the grid of frame {number}",) if placement == "resampled" else ()
    return Reference(number, image, segmentation.on_grid(grid, name), notes)


def _segmentation(source: Segmentation | sitk.Image | str | Path) -> Segmentation:
    if isinstance(source, (str, Path)):
        return read_segmentation(source).simplified()
    if isinstance(source, sitk.Image):
        check_labels(source, "segmentation")
        source = Segmentation.of(source)
    check_labelled(source)
    return source.simplified()


def _more_similar(references: list[Reference], frames: Frames, index: int) -> Reference:
    try:
        image = frames[index]
    except Exception:
        return references[0]  # The frame fails, and says why, when its turn comes.
    return max(
        references, key=lambda reference: FrameQuality(reference.image).measure(image, None, None).similarity_before
    )
