"""What results may take of memory in a scene, and the command that makes them without one."""

from __future__ import annotations

import os

import slicer

from ..errors import InputError


def check_fits_in_scene(what: str, frames: int, needed: int, remedy: str, limit: int | None = None) -> None:
    """Raises InputError when `needed` bytes of results are more than the scene should hold; the message ends in
    `remedy`.

    `limit` in bytes; default half of the machine's memory.
    """
    limit = _half_of_memory() if limit is None else limit
    if needed > limit:
        raise InputError(
            f"{what} of {frames} frames need {needed / 1e9:.3g} GB in the scene, more than the {limit / 1e9:.3g} GB it "
            f"may take; {remedy}"
        )


def by_file(sequence: slicer.vtkMRMLSequenceNode, drawn: slicer.vtkMRMLNode, reference: int) -> str:
    """The command that carries what was drawn through a sequence by file, one frame in memory at a time."""
    option, ending = next((found for kind, *found in _BY_FILE if drawn.IsA(kind)), ("segmentation", ".seg.nrrd"))
    names = []
    for node, end in ((sequence, ".seq.nrrd"), (drawn, ending)):
        storage = node.GetStorageNode()
        name = (storage.GetFileName() if storage is not None else None) or f"{node.GetName()}{end}"
        names.append(f'"{name}"' if " " in name else name)
    return (
        f"slicer-voxelmorph propagate --sequence {names[0]} --{option} {names[1]} --reference-frame {reference} "
        "--output DIR"
    )


#: Of a class of nodes: its option of the command line, and the ending of its file.
_BY_FILE = (("vtkMRMLMarkupsNode", "points", ".mrk.json"), ("vtkMRMLModelNode", "surface", ".vtp"))


def _half_of_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # Windows
        return 8_000_000_000
