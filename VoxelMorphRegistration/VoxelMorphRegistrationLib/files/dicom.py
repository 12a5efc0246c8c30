"""A folder of DICOM slices as one volume, refused where its slices are not those of one volume.

GDCM sorts slices by position and ITK stacks whatever there is: three phases of a heart become one volume three times as
deep, and a lost slice stretches its neighbours. So the positions of the slices (Image Position (Patient), along the
normal of Image Orientation (Patient)) are looked at first.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import InputError, error_summary
from .detached import check_name

_POSITION, _ORIENTATION, _PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
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
    """The header of one file: where the slice is in mm, along the normal and in its plane, and what else it says."""

    file: str
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
        _check_slices(folder, _slices(files))
        return sitk.ReadImage(files)
    except RuntimeError as error:
        raise InputError(
            f"{folder}: cannot be read as an image ({error_summary(error)}); give an image file"
        ) from error


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
    return sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0])


def _check_names(folder: Path) -> None:
    """GDCM opens every file of the folder."""
    check_name(folder)
    for entry in folder.iterdir():
        check_name(entry)


def _slices(files: tuple[str, ...]) -> list[_Slice]:
    """Those of the files that say where they are."""
    found = []
    for file in files:
        reader = sitk.ImageFileReader()
        reader.SetFileName(file)
        reader.ReadImageInformation()
        fields = {key: reader.GetMetaData(key).strip() for key in reader.GetMetaDataKeys() if key.isascii()}
        position, orientation = _numbers(fields, _POSITION, 3), _numbers(fields, _ORIENTATION, 6)
        if position is None or orientation is None:
            continue
        normal = np.cross(orientation[:3], orientation[3:])
        depth = float(normal @ position)
        aside = position - depth * normal
        pixel = _numbers(fields, _PIXEL_SPACING, 2)
        smallest = float(min(pixel)) if pixel is not None else reader.GetSpacing()[0]
        found.append(_Slice(file, depth, aside, smallest, tuple(np.round(orientation, 4).tolist()), fields))
    return found


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
