"""Which conventions a field can be of, told from its file type, header and shape alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..files.images import header_of
from ..files.itk_transform_files import is_text_of_transforms
from ..files.nifti import load_nifti
from .elastix_parameters import is_parameter_file
from .names import CONVENTIONS

#: These keep images of LPS vectors that are read alike, so choosing among them changes nothing.
_LPS_IMAGES = ("itk", "slicer", "ants", "elastix")
_ARRAYS = ("voxelmorph", "monai", "torch")
_TAKES_LISTS = ("ants", "elastix")
_AXES = "for vectors in mm say --vectors lps or ras"
_FSL_INTENTS = range(2006, 2017)


@dataclass(frozen=True)
class Finding:
    """Conventions a field may be of, best first.

    `certain` when the first can be taken without asking; else `advice` how to say which, where names alone do not.
    """

    names: tuple[str, ...]
    certain: bool
    what: str
    advice: str = ""


def choose(source: Any, convention: str | None, in_mm: bool = False) -> str:
    """The convention to read `source` by: the one said, if the file can be of it, or the only one it can be of.

    `in_mm`: the axes of its vectors in mm were said, so that it is an image of them.
    Raises InputError when the convention is unknown, is not what the file is, or was not said and cannot be told.
    """
    if convention is not None and convention not in CONVENTIONS:
        raise InputError(f"convention {convention!r}: unknown; choose one of {', '.join(CONVENTIONS)}")
    found = identify(source)
    if in_mm and (convention or "itk") in _LPS_IMAGES and "itk" in found.names:
        return convention or "itk"
    if in_mm:
        raise InputError(
            f"{label(source)}: --vectors is for images of vectors in mm, and this is {found.what}"
            f"{' --from ' + convention if convention else ''}; leave it out"
        )
    if convention is None:
        if not found.certain:
            advice = found.advice or f"say --from, possible: {', '.join(found.names)}"
            raise InputError(f"{label(source)}: {found.what} does not tell its convention; {advice}")
        return found.names[0]
    if convention not in found.names:
        raise InputError(
            f"{label(source)}: {found.what} is not of convention {convention}; say --from {' or '.join(found.names)}"
        )
    return convention


def label(source: Any) -> str:
    """How messages name an input."""
    if isinstance(source, (str, os.PathLike)):
        return str(source)
    if isinstance(source, (list, tuple)) and not _is_flagged_pair(source):
        return " ".join(label(item) for item in source)
    if isinstance(source, tuple):
        return str(source[0])
    return (
        f"{type(source).__name__} of shape {tuple(source.shape)}" if hasattr(source, "shape") else type(source).__name__
    )


def split_flag(item: Any) -> tuple[Path, bool]:
    """A list item of ANTs as (path, invert): 'file', '[file,1]', or (file, True)."""
    if _is_flagged_pair(item):
        return Path(item[0]), bool(item[1])
    text = os.fspath(item)
    if text.startswith("[") and text.endswith("]"):
        path, comma, flag = text[1:-1].rpartition(",")
        if not comma or flag.strip() not in ("0", "1"):
            raise InputError(f"{text}: an inverse flag is written [FILE,1] or [FILE,0]; correct it")
        return Path(path.strip()), flag.strip() == "1"
    return Path(text), False


def identify(source: Any) -> Finding:
    """What a path, list of paths, array or SimpleITK object can be. Raises InputError for what is no field at all."""
    if isinstance(source, (sitk.Image, sitk.Transform)):
        return Finding(_LPS_IMAGES, True, "a SimpleITK object")
    if isinstance(source, (list, tuple)) and not _is_flagged_pair(source):
        return _identify_list(source)
    if hasattr(source, "shape"):
        return _identify_shape(tuple(source.shape))
    path, flagged = split_flag(source)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give an existing field")
    found = _identify_file(path)
    return Finding(("ants",), True, "an inverse flag") if flagged and "ants" in found.names else found


def _identify_list(items: Sequence[Any]) -> Finding:
    if not items:
        raise InputError("input: an empty list; give at least one field")
    if len(items) == 1:
        return identify(items[0])
    if not all(isinstance(item, (str, os.PathLike)) or _is_flagged_pair(item) for item in items):
        return Finding(_ARRAYS, False, "a nested list of numbers")
    each = [identify(item).names for item in items]
    names = tuple(name for name in _TAKES_LISTS if all(name in found for found in each))
    if not names:
        raise InputError(
            f"{label(list(items))}: these files are not one list of any tool; give one field, or ANTs' or elastix' list"
        )
    return Finding(names, len(names) == 1, "a list of files")


def _identify_file(path: Path) -> Finding:
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return _identify_nifti(path)
    if name.endswith((".nrrd", ".nhdr", ".mha", ".mhd")):
        return _identify_image(path)
    if name.endswith((".lta", ".m3z", ".mgz", ".mgh")):
        return Finding(("freesurfer",), True, "a FreeSurfer file")
    if name.endswith((".npy", ".npz", ".pt", ".pth")):
        from .array_files import array_shape

        return _identify_shape(array_shape(path), f"{path}: an array")
    if name.endswith((".h5", ".hdf5")):
        return Finding(("itk", "slicer", "ants"), True, "an HDF5 transform file")
    if name.endswith(".xfm"):
        return Finding(("itk", "slicer"), True, "an .xfm transform file")
    if name.endswith((".tfm", ".txt", ".mat", ".toml")):
        return _identify_text(path)
    raise InputError(
        f"{path}: not a type of file that holds a displacement; give .nii.gz, .nrrd, .mha, .mhd, .h5, .tfm, .mat, "
        ".txt, .lta, .mgz, .npy, .npz or .pt"
    )


def _identify_image(path: Path) -> Finding:
    reader = header_of(path)
    if reader.GetNumberOfComponents() == 1 and reader.GetDimension() > 2 and reader.GetSize()[-1] in (2, 3):
        shown = " x ".join(map(str, reader.GetSize()))
        return Finding(_LPS_IMAGES, False, f"an image of size {shown} that is not of vectors", _AXES)
    return Finding(_LPS_IMAGES, True, "an image file of vectors")


def _identify_text(path: Path) -> Finding:
    start = path.read_bytes()[:4096]
    if is_text_of_transforms(start.decode("utf-8", errors="replace")):
        return Finding(("itk", "slicer", "ants"), True, "an ITK transform file")
    if path.suffix.lower() == ".mat" and b"\0" in start:
        return Finding(("ants", "itk"), True, "an ITK affine in a .mat file")
    text = start.decode("utf-8-sig", errors="replace")
    if is_parameter_file(text):
        return Finding(("elastix",), True, "an elastix parameter file")
    try:
        rows = [[float(number) for number in line.split()] for line in text.splitlines() if line.strip()]
    except ValueError:
        rows = []
    if len(rows) == 4 and all(len(row) == 4 for row in rows):
        if path.suffix.lower() == ".mat":
            raise InputError(
                f"{path}: a matrix as text is FSL's, in its own scaled voxels; turn it into RAS first, e.g. "
                "`reg_transform -flirtAff2NR` (then --from niftyreg)"
            )
        return Finding(("niftyreg",), False, "a 4 x 4 matrix as text")
    raise InputError(
        f"{path}: neither an ITK transform, an elastix parameter file nor a 4 x 4 matrix; give one of these"
    )


def _identify_nifti(path: Path) -> Finding:
    header = load_nifti(path).header
    intent, shape = int(header["intent_code"]), header.get_data_shape()
    if header["intent_name"].tobytes().startswith(b"NREG_TRANS"):
        return Finding(("niftyreg",), True, "a NiftyReg transformation (intent name NREG_TRANS)")
    if intent in _FSL_INTENTS:
        raise InputError(
            f"{path}: an FSL warp (intent {intent}), in FSL's scaled voxels; convert it first, e.g. with "
            "`wb_command -convert-warpfield -from-fnirt ... -to-itk`"
        )
    if intent == 1006:
        return Finding(
            ("itk", "slicer", "ants", "elastix", "freesurfer"), True, "a NIfTI of displacement vectors (intent 1006)"
        )
    if intent == 1007 and len(shape) == 5:
        return Finding(_LPS_IMAGES, True, "a NIfTI of vectors (intent 1007)")
    if shape[-1] in (2, 3) or shape[0] in (2, 3):
        names = ("voxelmorph", "monai", "freesurfer", *_LPS_IMAGES)
        advice = f"for voxels say --from voxelmorph or monai, for RAS mm of FreeSurfer --from freesurfer; {_AXES}"
        return Finding(names, False, f"a NIfTI of shape {shape} without a vector intent", advice)
    raise InputError(f"{path}: a NIfTI of shape {shape} holds no vectors; a field has 2 or 3 components")


def _identify_shape(shape: tuple[int, ...], what: str = "array") -> Finding:
    shown = " x ".join(map(str, shape))
    if shape in ((2, 3), (3, 4), (1, 2, 3), (1, 3, 4)):
        return Finding(("torch",), True, f"a theta of shape {shown}")
    if len(shape) < 3 or not {2, 3} & {shape[0], shape[-1], shape[1]}:
        raise InputError(
            f"{what} of shape {shown}: it is no field; give (1, d, ...), (d, ...) or (..., d) with d = 2 or 3"
        )
    return Finding(_ARRAYS, False, f"an array of shape {shown}")


def _is_flagged_pair(item: Any) -> bool:
    return (
        isinstance(item, tuple)
        and len(item) == 2
        and isinstance(item[0], (str, os.PathLike))
        and isinstance(item[1], (bool, np.bool_, int))
    )
