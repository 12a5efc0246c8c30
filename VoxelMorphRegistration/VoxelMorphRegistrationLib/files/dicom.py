"""A folder of DICOM slices as one volume, refused where its slices are not those of one volume.

GDCM sorts slices by position and ITK stacks whatever there is: three phases of a heart become one volume three times as
deep, and a lost slice stretches its neighbours. So the positions of the slices (Image Position (Patient), along the
normal of Image Orientation (Patient)) are looked at first.
"""

from __future__ import annotations

import math
import re
import struct
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, error_summary
from .detached import check_name, check_no_pipe

_POSITION, _ORIENTATION, _PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
_FRAMES, _SERIES = "0028|0008", "0020|000e"
_ROWS, _COLUMNS, _SAMPLES, _BITS = "0028|0010", "0028|0011", "0028|0002", "0028|0100"
#: Of the file meta information, which is always explicit and little-endian (DICOM PS3.10).
_SYNTAX = re.compile(rb"\x02\x00\x10\x00UI..([0-9.]+)", re.DOTALL)
#: Of computed radiography, CT, MR, ultrasound, secondary capture, X-ray, nuclear medicine and PET (PS3.4, B.5).
_IMAGE_CLASS = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(?:1|2|3|4|6|7|12|20|128)(?:\.\d+)*[^\d.]")
_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
#: What may tell slices of one position apart, the plainest first, with its unit.
_DISTINCTIONS = (
    ("0018|1060", "trigger time", " ms"),
    ("0020|0100", "temporal position", ""),
    ("0008|0032", "acquisition time", ""),
    ("0008|0033", "content time", ""),
    ("0018|0081", "echo time", " ms"),
    ("0018|9087", "b-value", ""),
    ("0020|0012", "acquisition number", ""),
    ("0008|0008", "image type", ""),
)
_SHOWN = 6


@dataclass(frozen=True)
class _Slice:
    """The header of one file: the type of its numbers once they are scaled, where the slice is in mm, along the normal
    and in its plane, and what else it says.
    """

    file: str
    kind: int
    depth: float
    aside: np.ndarray
    pixel: float
    orientation: tuple[float, ...]
    fields: dict[str, str]


def read_dicom(folder: Path) -> sitk.Image:
    """The volume of a folder that holds one DICOM series of one volume.

    Raises InputError, naming the folder and what is wrong, when it holds no series or several, several volumes (as of
    different times), slices at uneven distances (as when one is missing), slices that look in different directions, or
    a stack that is sheared (as of a tilted CT gantry).
    """
    try:
        files = _series(folder)
        slices = _slices(files)
        _check_slices(folder, slices)
        # ITK stacks all slices as numbers of the first one's type, in which those that are scaled otherwise wrap round.
        alike = len({one.kind for one in slices}) == 1
        return sitk.ReadImage(files) if alike else sitk.ReadImage(files, sitk.sitkFloat32)
    except RuntimeError as error:
        raise InputError(
            f"{folder}: cannot be read as an image ({error_summary(error)}); give an image file"
        ) from error


def check_dicom_file(path: Path, reader: sitk.ImageFileReader) -> None:
    """Raises InputError for a DICOM file that is not one image: one that holds several, or one slice of a series.

    Frames of one file (enhanced and multi-frame DICOM) may be slices, times or both; ITK stacks them all.

    Args:
        reader: which knows the header of the file; a file of another kind passes.
    """
    frames = _text(reader, _FRAMES)
    if frames not in ("", "0", "1"):
        raise InputError(
            f"{path}: a DICOM file of {frames} frames (enhanced or multi-frame), which may be slices or times; make "
            "files of single volumes from it, as Slicer's DICOM module or dcm2niix do"
        )
    series = _text(reader, _SERIES)
    if series and (count := len(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path.parent), series))) > 1:
        raise InputError(f"{path}: one of the {count} slices of a DICOM series; give its folder {path.parent}")


def _text(reader: sitk.ImageFileReader, key: str) -> str:
    return reader.GetMetaData(key).strip(" \0") if reader.HasMetaDataKey(key) else ""


def holds_dicom(folder: Path) -> bool:
    """Whether a folder itself holds files of a DICOM series."""
    _check_names(folder)
    return bool(sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)))


def _series(folder: Path) -> tuple[str, ...]:
    _check_names(folder)
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        found = "no DICOM series" if not series else f"{len(series)} DICOM series"
        raise InputError(f"{folder}: the folder holds {found}, one is needed; give a file or the folder of one series")
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])
    _check_left_out(folder, files)
    return files


def _check_left_out(folder: Path, files: tuple[str, ...]) -> None:
    """Raises InputError for a damaged slice, which GDCM leaves out of the series without a word."""
    taken = {Path(file).name for file in files}
    for entry in sorted(folder.iterdir()):
        if entry.name in taken or not entry.is_file():
            continue
        with open(entry, "rb") as stream:
            start = stream.read(4096)
        if start[128:132] == b"DICM" and _IMAGE_CLASS.search(start):
            raise InputError(f"{entry}: a DICOM image that is damaged or cut short; copy or export it again")


def _check_names(folder: Path) -> None:
    """GDCM opens every file of the folder."""
    check_name(folder)
    for entry in folder.iterdir():
        check_name(entry)
        check_no_pipe(entry)


def _slices(files: tuple[str, ...]) -> list[_Slice]:
    """Those of the files that say where they are."""
    found = []
    for file in files:
        reader = sitk.ImageFileReader()
        reader.SetFileName(file)
        reader.ReadImageInformation()
        if _text(reader, _FRAMES) not in ("", "0", "1"):
            check_dicom_file(Path(file), reader)
        fields = {key: reader.GetMetaData(key).strip() for key in reader.GetMetaDataKeys() if key.isascii()}
        _check_pixels(Path(file), fields)
        position, orientation = _numbers(fields, _POSITION, 3), _numbers(fields, _ORIENTATION, 6)
        if position is None or orientation is None:
            if len(files) == 1:
                continue
            raise InputError(
                f"{file}: does not say where its slice lies (Image Position and Orientation), so the {len(files)} "
                "slices are no volume; export the series again, or convert it with what knows its scanner"
            )
        normal = np.cross(orientation[:3], orientation[3:])
        depth = float(normal @ position)
        aside = position - depth * normal
        pixel = _numbers(fields, _PIXEL_SPACING, 2)
        smallest = float(min(pixel)) if pixel is not None else reader.GetSpacing()[0]
        directions = tuple(np.round(orientation, 4).tolist())
        found.append(_Slice(file, reader.GetPixelID(), depth, aside, smallest, directions, fields))
    return found


def _check_pixels(file: Path, fields: dict[str, str]) -> None:
    """Raises InputError for a file whose uncompressed pixels are not all there: GDCM fills up what is missing."""
    try:
        needed = math.prod(int(fields.get(key) or 1) for key in (_ROWS, _COLUMNS, _SAMPLES))
        needed = needed * int(fields.get(_BITS) or 8) // 8
    except ValueError:
        return
    content = file.read_bytes()
    syntax = _SYNTAX.search(content[:4096])
    if syntax is not None and syntax[1].rstrip(b"\0 ").decode("ascii", "replace") not in _UNCOMPRESSED:
        return
    for order, tag in (("<", b"\xe0\x7f\x10\x00"), (">", b"\x7f\xe0\x00\x10")):
        place = content.find(tag)
        while place >= 0:
            begins = place + (12 if content[place + 4 : place + 6] in (b"OW", b"OB") else 8)
            length = struct.unpack(f"{order}I", content[begins - 4 : begins])[0] if begins <= len(content) else 0
            if needed <= length <= len(content) - begins:
                return
            place = content.find(tag, place + 1)
    raise InputError(f"{file}: its pixels are cut short; copy or export it again")


def _numbers(fields: dict[str, str], key: str, count: int) -> np.ndarray | None:
    try:
        numbers = np.array([float(word) for word in fields.get(key, "").split("\\")])
    except ValueError:
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None


def _check_slices(folder: Path, slices: list[_Slice]) -> None:
    if len(slices) < 2:
        return
    if len({one.orientation for one in slices}) > 1:
        raise InputError(
            f"{folder}: its slices look in different directions, as scouts do; leave only the slices of one volume"
        )
    places: dict[float, list[_Slice]] = defaultdict(list)
    for one in slices:
        places[round(one.depth, 2) + 0.0].append(one)
    if len(places) < len(slices):
        raise InputError(
            f"{folder}: holds {len(slices)} slices at {len(places)} positions, so several volumes "
            f"{_told_apart(places)}; give a folder of one volume, as Slicer's DICOM module or dcm2niix makes them"
        )
    depths = np.array(sorted(places))
    _check_distances(folder, depths)
    _check_upright(folder, sorted(slices, key=lambda one: one.depth))


def _told_apart(places: dict[float, list[_Slice]]) -> str:
    """In brackets, by what the slices of one position differ, with its values in order."""
    most = max(places.values(), key=len)
    for key, name, unit in _DISTINCTIONS:
        values = {one.fields.get(key, "") for one in most}
        if len(values) == len(most) and "" not in values:
            shown = sorted(values, key=_in_order)
            text = ", ".join(shown[:_SHOWN]) + (f", ... {shown[-1]}" if len(shown) > _SHOWN else "")
            return f"({len(shown)}, by {name}: {text}{unit})"
    return f"({len(most)} at {_millimetres(min(one.depth for one in most))})"


def _in_order(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), "")
    except ValueError:
        return (1, 0.0, text)


def _check_distances(folder: Path, depths: np.ndarray) -> None:
    steps = np.diff(depths)
    usual = float(np.median(steps))
    gaps = [index for index in range(len(steps)) if steps[index] > 1.5 * usual]
    if gaps:
        missing = [
            depths[index] + number * usual for index in gaps for number in range(1, round(steps[index] / usual) or 2)
        ] or [depths[gaps[0]] + usual]
        shown = ", ".join(_millimetres(depth) for depth in missing[:_SHOWN]) + (
            ", ..." if len(missing) > _SHOWN else ""
        )
        raise InputError(
            f"{folder}: {len(missing)} slice(s) missing, at {shown} along the slices' normal (they are {usual:g} mm "
            "apart); copy or export the series again"
        )
    even = np.linspace(depths[0], depths[-1], len(depths))
    if np.abs(depths - even).max() > 0.25 * usual:
        raise InputError(
            f"{folder}: its slices are not evenly spaced ({steps.min():.4g} to {steps.max():.4g} mm), which an image "
            "cannot be; give a series of one spacing, or resample it in Slicer (DICOM module, Volumes)"
        )


def _check_upright(folder: Path, slices: list[_Slice]) -> None:
    drift = float(np.linalg.norm(slices[-1].aside - slices[0].aside))
    if drift > max(0.5 * slices[0].pixel, 1e-3):
        degrees = np.degrees(np.arctan2(drift, abs(slices[-1].depth - slices[0].depth)))
        raise InputError(
            f"{folder}: its stack of slices is sheared by {degrees:.2g} degrees (as of a tilted CT gantry), which an "
            "image cannot be; load it with Slicer's DICOM module, harden its transform and save the volume"
        )


def _millimetres(depth: float) -> str:
    return f"{round(depth, 2):g} mm"
