"""ANTs: lists of transforms in ANTs' own order, GenericAffine files and Warp images.

`fwdtransforms` of a registration is [1Warp.nii.gz, 0GenericAffine.mat]: ANTs warps the image by the last of the list
first, so that a fixed point meets the FIRST of the list first. `invtransforms` is [0GenericAffine.mat inverted,
1InverseWarp.nii.gz]. An affine is `x -> M (x - c) + c + t` in LPS mm with its fixed parameters as c; a Warp is an ITK
image of LPS vectors (NIfTI intent 1007).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from ..errors import InputError
from ..files.images import write_image
from ..space.displacement import to_transform
from . import itk
from .affines import is_affine
from .context import Context, Mapping, warn
from .identify import split_flag

_NAME = re.compile(r"^(?P<prefix>.*?)\d+(?P<kind>GenericAffine|InverseWarp|Warp)\.(mat|txt|nii\.gz|nii|nrrd|mha|h5)$")


def read(source: Any, context: Context) -> Mapping:
    """A Warp image, an affine, a composite .h5, or a list of them in ANTs' order with inverse flags.

    Raises InputError for an order that ANTs never makes, and for the inverse of a warp.
    """
    if isinstance(source, (sitk.Image, sitk.Transform)):
        return itk.read(source, context)
    items = [source] if isinstance(source, (str, os.PathLike, tuple)) else list(source)
    steps = [split_flag(item) for item in items]
    _check_order(steps)
    mappings = [_read_step(path, invert, context) for path, invert in steps]
    if len(mappings) == 1:
        return mappings[0]
    dimensions = {mapping.GetDimension() for mapping in mappings}
    if len(dimensions) > 1:
        raise InputError(
            f"{' '.join(str(path) for path, _ in steps)}: the list mixes 2D and 3D; give the transforms of one"
            " registration"
        )
    transforms = [to_transform(mapping) if isinstance(mapping, sitk.Image) else mapping for mapping in mappings]
    # ITK applies the last of a composite first, ANTs' list the first.
    return sitk.CompositeTransform(transforms[::-1])


def write(displacement: sitk.Image, path: Path, context: Context) -> None:
    """A Warp image as ANTs writes it (NIfTI intent 1007, LPS; also .nrrd .mha), or an affine .mat where the field is
    one.
    """
    if path.name.lower().endswith((".mat", ".txt", ".tfm")):
        itk.write_affine(displacement, path)
    elif path.name.lower().endswith((".nii.gz", ".nii", ".nrrd", ".mha")):
        if is_affine(displacement):
            warn(
                f"{path}: the displacement is an affine, and ANTs moves nothing outside this field's grid; a .mat would"
                " hold all of it"
            )
        write_image(displacement, path)
    else:
        raise InputError(
            f"{path}: ANTs reads a field as .nii.gz, .nrrd or .mha and an affine as .mat; rename the output"
        )


def _read_step(path: Path, invert: bool, context: Context) -> Mapping:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give an existing transform")
    if not path.name.lower().endswith(itk.TRANSFORM_SUFFIXES):
        if invert:
            raise InputError(f"[{path},1]: ANTs cannot invert a warp; give the InverseWarp file that lies beside it")
        return itk.read_image(path, context)
    transform = itk.read_transform(path, context)
    if not invert:
        return transform
    try:
        return transform.GetInverse()
    except RuntimeError as error:
        raise InputError(
            f"[{path},1]: a {transform.GetName()} has no inverse here; give the inverse transform's own file"
        ) from error


def _check_order(steps: list[tuple[Path, bool]]) -> None:
    """Neighbours of one registration, told by ANTs' own file names, must stand in an order that ANTs makes."""
    for (first, first_inverted), (second, second_inverted) in zip(steps, steps[1:]):
        one, two = _NAME.match(first.name), _NAME.match(second.name)
        if not one or not two or first.parent != second.parent or one["prefix"] != two["prefix"]:
            continue
        kinds = (one["kind"], two["kind"])
        if kinds in (("Warp", "GenericAffine"), ("GenericAffine", "InverseWarp")):
            affine, inverted = (second, second_inverted) if kinds[0] == "Warp" else (first, first_inverted)
            if inverted == (kinds[0] == "Warp"):
                right = f"{affine}" if inverted else f"[{affine},1]"
                raise InputError(
                    f"{first} {second}: the affine goes {'un' if inverted else ''}inverted with a "
                    f"{kinds[0] if inverted else kinds[1]}; write {right}"
                )
        elif kinds == ("GenericAffine", "Warp"):
            raise InputError(
                f"{first} {second}: impossible order, this registration's Warp lies on the fixed image; "
                f"write {second} {first}"
            )
        elif kinds == ("InverseWarp", "GenericAffine"):
            raise InputError(
                f"{first} {second}: impossible order, the InverseWarp comes after the inverted affine; "
                f"write [{second},1] {first}"
            )
        elif {"Warp", "InverseWarp"} == set(kinds):
            raise InputError(f"{first} {second}: a warp and its own inverse cancel each other; give only one of them")
