"""Names and colours of label values where a label image itself has no place for them.

| where | written by |
|---|---|
| a `<LabelTable>` among the extensions of a NIfTI header | TotalSegmentator, Connectome Workbench |
| a colour table `.ctbl` of the same name beside the image | Slicer: lines of value, name, red, green, blue, alpha |
"""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Collection, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import nibabel

from ..annotations.segment import Segment
from ..errors import InputError
from .atomic import atomic_write
from .detached import check_no_pipe

_NIFTI = (".nii", ".nii.gz")
_LONGEST_TABLE = 4 << 20
_HEADER_BYTES, _OFFSET_AT = 348, 108
_COMMENT = 0  # the extension code that TotalSegmentator writes its table under


def named_segments(path: Path, values: Collection[int]) -> list[Segment]:
    """Segments for those label values that the header of an image file, or the table beside it, has names for.

    Raises InputError, naming the table, where the one beside the image cannot be understood.
    """
    bare = _without_ending(path)
    found = {**_from_colour_table(bare.with_name(f"{bare.name}.ctbl")), **_from_nifti(path)}
    segments: list[Segment] = []
    for value in sorted(values):
        if value not in found:
            continue
        name, colour = found[value]
        taken = {one.id for one in segments}
        segments.append(Segment(name if name not in taken else f"{name}_{value}", name, value, 0, colour))
    return segments


def write_colour_table(segments: Sequence[Segment], path: Path) -> None:
    """A `.ctbl` that Slicer opens, whole or not at all. Raises InputError when it cannot be written.

    The format has no quotes: blanks in a name become underscores, which Slicer shows as blanks.
    """
    lines = [f"# Color table file {path.name}", f"# {len(segments) + 1} values", "0 background 0 0 0 0"]
    for segment in segments:
        if segment.label > 0:
            shades = " ".join(str(round(255 * part)) for part in segment.colour)
            lines.append(f"{segment.label} {'_'.join(segment.name.split()) or '_'} {shades} 255")
    with atomic_write(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def holds_names(path: Path) -> bool:
    """Whether an image file of this name can be given names with `add_label_table`."""
    return path.name.lower().endswith(_NIFTI)


def add_label_table(path: Path, segments: Sequence[Segment]) -> None:
    """Put names and colours into the header of a NIfTI file (.nii, .nii.gz) that has no extension yet."""
    rows = "".join(
        f'<Label Key="{one.label}" Red="{one.colour[0]:g}" Green="{one.colour[1]:g}" Blue="{one.colour[2]:g}" '
        f'Alpha="1">{escape(one.name)}</Label>'
        for one in segments
    )
    table = (
        '<?xml version="1.0" encoding="UTF-8"?><CaretExtension><VolumeInformation Index="0"><LabelTable>'
        f"{rows}</LabelTable><VolumeType>Label</VolumeType></VolumeInformation></CaretExtension>"
    ).encode()
    table += bytes(-(len(table) + 8) % 16)
    packed = path.name.lower().endswith(".gz")
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    order = "<" if struct.unpack("<i", content[:4])[0] == _HEADER_BYTES else ">"
    (offset,) = struct.unpack(f"{order}f", content[_OFFSET_AT : _OFFSET_AT + 4])
    header = bytearray(content[:_HEADER_BYTES])
    struct.pack_into(f"{order}f", header, _OFFSET_AT, _HEADER_BYTES + 4 + 8 + len(table))
    extension = b"\x01\x00\x00\x00" + struct.pack(f"{order}ii", 8 + len(table), _COMMENT) + table
    content = bytes(header) + extension + content[int(offset) :]
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)


def _without_ending(path: Path) -> Path:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return path.with_name(Path(name).stem)


def _from_nifti(path: Path) -> dict[int, tuple[str, tuple[float, float, float]]]:
    if not holds_names(path):
        return {}
    try:
        extensions = nibabel.Nifti1Image.from_filename(path).header.extensions
        contents = [bytes(one.content) for one in extensions]
    except Exception:  # Whatever is wrong with the file, reading its voxels explains it.
        return {}
    for content in contents:
        start, end = content.find(b"<LabelTable"), content.find(b"</LabelTable>")
        if 0 <= start < end <= _LONGEST_TABLE:
            return _from_xml(content[start:end] + b"</LabelTable>")
    return {}


def _from_xml(text: bytes) -> dict[int, tuple[str, tuple[float, float, float]]]:
    """{} for a table that cannot be understood: names of a header are a courtesy of the program that wrote it."""
    found, shades = {}, {}
    try:
        for label in ElementTree.fromstring(text.decode("utf-8", "replace")).iter("Label"):
            red, green, blue = (float(label.get(name, "0.5")) for name in ("Red", "Green", "Blue"))
            name = " ".join((label.text or "").split())
            if name:
                value = int(label.get("Key", ""))
                found[value], shades[value] = name, (red, green, blue)
    except (ElementTree.ParseError, ValueError):
        return {}
    return _coloured(found, shades)


def _from_colour_table(path: Path) -> dict[int, tuple[str, tuple[float, float, float]]]:
    check_no_pipe(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: the colour table beside the label image cannot be read ({error}); save it again or rename it"
        ) from error
    found, shades = {}, {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            value = int(words[0])
            red, green, blue, _alpha = (float(word) for word in words[-4:])
            name = " ".join(words[1:-4]).strip('"').replace("_", " ").strip()
        except ValueError as error:
            raise InputError(
                f"{path}: line {number} is no row of a colour table ({line.strip()[:40]!r}); "
                "give value, name, red, green, blue, alpha, or rename the file"
            ) from error
        if value in found:
            raise InputError(f"{path}: label {value} is named twice; remove one of its lines")
        found[value], shades[value] = name, (red, green, blue)
    return _coloured({value: name for value, name in found.items() if name and name != "(none)"}, shades)


def _coloured(
    names: dict[int, str], shades: dict[int, tuple[float, float, float]]
) -> dict[int, tuple[str, tuple[float, float, float]]]:
    """Names with colours from 0 to 1; a table counts them to 255 where one is above 1."""
    scale = 255 if any(part > 1 for rgb in shades.values() for part in rgb) else 1
    return {value: (name, _colour(tuple(part / scale for part in shades[value]))) for value, name in names.items()}


def _colour(shades: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (min(max(part, 0.0), 1.0) if math.isfinite(part) else 0.5 for part in shades)
    return red, green, blue
