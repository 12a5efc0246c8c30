"""Which segments of several segmentations are the same: by id, then by name, never by the number of a label alone.

Two people, or one person twice, draw the same organs in another order, and the numbers of their labels differ then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import InputError
from .segment import Segment
from .segmentation import Segmentation

_GENERATED = re.compile(r"Segment_\d+(_\d+|_)*")


@dataclass(frozen=True)
class Matched:
    """Segmentations whose equal segments have equal ids, names, colours and label values: those of the first that has
    them.

    Attributes:
        segmentations: in the order given, each with its own voxels and layers.
        notes: for each, what a person should know: a segment that another one lacks, names that differ.
        segments: every segment of any of them, once.
    """

    segmentations: tuple[Segmentation, ...]
    notes: tuple[tuple[str, ...], ...]
    segments: tuple[Segment, ...]


def match_segments(segmentations: Sequence[Segmentation], names: Sequence[str]) -> Matched:
    """Bring segmentations under common segments; each keeps its voxels and gets label values that mean the same in all.

    Segments are the same when their ids are. Where ids and names contradict each other, ids that Slicer made
    (`Segment_1`) give way to the names. Segments whose ids the others do not have are the same when their names are,
    whatever their case, blanks and underscores. The values of plain label images are the ids of their segments, so
    these match by value among themselves, and with nothing else.

    Args:
        names: what people call each segmentation.

    Raises InputError, naming the segmentation, where ids and names contradict each other, where a name may mean either
    of two segments, and when one segmentation has named segments and another only numbers.

    >>> import numpy as np
    >>> import SimpleITK as sitk
    >>> image = sitk.GetImageFromArray(np.array([[0, 1, 2]], np.uint8))
    >>> one = Segmentation.of(image, segments=[Segment("a", "heart", 1), Segment("b", "liver", 2)])
    >>> other = Segmentation.of(image, segments=[Segment("c", "liver", 1), Segment("d", "heart", 2)])
    >>> matched = match_segments([one, other], ["frame 0", "frame 5"])
    >>> sitk.GetArrayFromImage(matched.segmentations[1].label_image()).tolist()
    [[0, 2, 1]]
    """
    segmentations = [one.with_distinct_labels() for one in segmentations]
    if not segmentations:
        return Matched((), (), ())
    known = list(segmentations[0].segments)
    found: list[Segmentation] = [segmentations[0]]
    notes: list[tuple[str, ...]] = [()]
    for segmentation, name in zip(segmentations[1:], names[1:]):
        if _unnamed(known) != _unnamed(segmentation.segments):
            here_alone = _unnamed(segmentation.segments)
            named = _listed(known if here_alone else segmentation.segments)
            raise InputError(
                f"{name if here_alone else names[0]}: its segments have numbers and no names, those of the other "
                f"reference have names ({named}), so it is not known which is which; "
                "name both (in a .seg.nrrd, or a colour table .ctbl of the same name beside a label image)"
            )
        here = segmentation.segments
        partners, differing = _partners(known, here, name, names[0])
        segments, told = [], list(differing)
        for segment, partner in zip(here, partners):
            if partner is None:
                taken = {one.label for one in known}
                label = segment.label if segment.label not in taken else _free(taken, here)
                partner = replace(segment, id=_unique(segment.id, known), label=label)
                known.append(partner)
                told.append(f"segment {segment.name!r} is drawn here and not in {names[0]}")
            segments.append(replace(partner, layer=segment.layer))
        told += [f"segment {one.name!r} is not drawn here" for one in found[0].segments if one not in partners]
        found.append(segmentation.with_segments(segments))
        notes.append(tuple(told))
    return Matched(tuple(found), tuple(notes), tuple(known))


def _partners(
    known: Sequence[Segment], here: Sequence[Segment], name: str, first: str
) -> tuple[list[Segment | None], list[str]]:
    """For each segment the one of `known` that it is, None for a new one; and what is to be said."""
    by_id = {one.id: one for one in known}
    names, names_here = [_plain(one.name) for one in known], [_plain(one.name) for one in here]
    partners: list[Segment | None] = []
    notes = []
    for segment in here:
        partner = by_id.get(segment.id)
        if partner is not None and _plain(partner.name) != _plain(segment.name):
            if _plain(segment.name) in names or _plain(partner.name) in names_here:
                if not _GENERATED.fullmatch(segment.id):
                    raise InputError(
                        f"{name}: its segment {segment.name!r} has the id of {partner.name!r} of {first} "
                        f"({segment.id}), so names and ids contradict each other; correct one of them"
                    )
                partner = None
            else:
                notes.append(f"segment {segment.name!r} is taken for {partner.name!r} of {first}, whose id it has")
        partners.append(partner)
    for number, segment in enumerate(here):
        if partners[number] is not None:
            continue
        alike = [one for one in known if _plain(one.name) == _plain(segment.name) and one not in partners]
        if len(alike) > 1 or (alike and names_here.count(_plain(segment.name)) > 1):
            raise InputError(
                f"{name}: segment {segment.name!r} may be either of two of that name; give them names of their own"
            )
        partners[number] = alike[0] if alike else None
    if any(partner is not None and partners.count(partner) > 1 for partner in partners):
        raise InputError(f"{name}: two of its segments have the same id; save the segmentation again in Slicer")
    return partners, notes


def _unnamed(segments: Sequence[Segment]) -> bool:
    return all(segment.is_unnamed for segment in segments)


def _plain(name: str) -> str:
    """Blanks and underscores are alike: a colour table has no blanks in names, other files of the same organs have."""
    return " ".join(name.replace("_", " ").split()).casefold()


def _listed(segments: Sequence[Segment]) -> str:
    named = [one.name for one in segments if not one.is_unnamed]
    return ", ".join(named[:3]) + (", ..." if len(named) > 3 else "")


def _free(taken: set[int], here: Sequence[Segment]) -> int:
    """The lowest label value that neither is taken nor will be met among those here."""
    others = {one.label for one in here}
    return next(label for label in range(1, len(taken) + len(others) + 2) if label not in taken | others)


def _unique(identifier: str, known: Sequence[Segment]) -> str:
    taken = {one.id for one in known}
    while identifier in taken:
        identifier += "_"
    return identifier
