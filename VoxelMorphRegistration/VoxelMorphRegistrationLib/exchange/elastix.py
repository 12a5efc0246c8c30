"""elastix: deformation field images of transformix, and TransformParameters files chained by their initial transforms.

A deformationField image holds LPS vectors as ITK keeps them. A chain maps a fixed point by its initial transform first;
each following one is composed with it, or added to it (HowToCombineTransforms). Translation, Euler, similarity, affine
and B-spline transforms are read here, so that a chain needs no elastix; any other class is evaluated by a real elastix.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PureWindowsPath
from typing import Any

import SimpleITK as sitk

from ..errors import InputError
from ..files.detached import check_readable
from ..files.images import write_image
from ..space.displacement import from_transform, to_transform
from ..space.grid import Grid
from . import itk
from .affines import exact_affine, is_affine
from .context import Context, Mapping, warn
from .elastix_directions import Turn, turn_of
from .elastix_parameters import INITIAL_KEYS, Parameters, read_parameters, write_parameters
from .elastix_tool import deformation_by_elastix


def read(source: Any, context: Context) -> Mapping:
    """A deformation field image, or one or more TransformParameters files (the last says its own chain).

    Raises InputError for a broken file or chain, DependencyMissing when a class needs elastix and there is none.
    """
    if isinstance(source, (sitk.Image, sitk.Transform)):
        return itk.read(source, context)
    paths = [Path(os.fspath(item)) for item in (source if isinstance(source, (list, tuple)) else [source])]
    for path in paths:
        check_readable(path)
    if not paths[-1].name.lower().endswith((".txt", ".toml")):
        if len(paths) > 1:
            raise InputError(
                f"{len(paths)} images: transformix -def all writes one deformationField for the whole chain; give it"
                " alone"
            )
        return itk.read_image(paths[0], context)
    if paths[-1].name.lower().endswith(".toml"):
        raise InputError(
            f"{paths[-1]}: TOML parameter files are not read; run transformix -def all -tp {paths[-1]} and give its "
            "deformationField"
        )
    chain = _chain(paths)
    turn = turn_of(chain, context)
    try:
        return _mapping(chain, context, turn)
    except NotImplementedError as unknown:
        if turn is not None:
            raise InputError(
                f'{paths[-1]}: a {unknown} with UseDirectionCosines "false" is not read; register again with "true"'
            ) from unknown
        return deformation_by_elastix(paths[-1], context.need_reference(str(paths[-1])), str(unknown))


def write(displacement: sitk.Image, path: Path, context: Context) -> None:
    """A deformationField image, or a TransformParameters .txt that transformix -tp takes.

    The .txt is an AffineTransform where the displacement is an affine; otherwise a DeformationFieldTransform that
    names an .mha written beside it.
    """
    if not path.name.lower().endswith(".txt"):
        if not path.name.lower().endswith((".nii.gz", ".nii", ".mha", ".nrrd")):
            raise InputError(
                f"{path}: elastix keeps a field as .nii.gz, .mha or .nrrd and a transform as .txt; rename the output"
            )
        if is_affine(displacement):
            warn(
                f"{path}: the displacement is an affine, and is written as vectors on the reference only; a .txt would"
                " hold all of it"
            )
        write_image(displacement, path)
        return
    grid = Grid.of(displacement)
    if is_affine(displacement):
        matrix = exact_affine(displacement, path)
        numbers = [*matrix[:-1, :-1].ravel(), *matrix[:-1, -1]]
        write_parameters(path, "AffineTransform", numbers, grid, {"CenterOfRotationPoint": [0.0] * grid.dimension})
        return
    field = path.with_name(path.stem + "_deformationField.mha")
    write_image(displacement, field)
    write_parameters(
        path,
        "DeformationFieldTransform",
        [],
        grid,
        {"DeformationFieldFileName": str(field.resolve()), "DeformationFieldInterpolationOrder": 1},
    )


def _chain(paths: list[Path]) -> list[Parameters]:
    """The files in the order in which a fixed point meets them.

    The last file's own chain counts. When it names no initial transform, the files given before it are its chain.
    """
    chain: list[Parameters] = []
    path, seen = paths[-1], set()
    given = {item.name: item for item in paths}
    while True:
        if path.resolve() in seen:
            raise InputError(
                f"{path}: its chain of initial transforms comes back to it; correct InitialTransformParameterFileName"
            )
        seen.add(path.resolve())
        current = read_parameters(path)
        chain.insert(0, current)
        initial = current.initial
        if initial is None:
            _note_nameless(current, len(paths))
            break
        found = current.beside(initial) or given.get(Path(initial).name)
        if found is None:
            raise InputError(f"{path}: its initial transform {initial} is not there; put it into the same folder")
        path = found
    before = [item for item in paths[:-1] if item.resolve() not in seen]
    if before and len(seen) > 1:
        raise InputError(f"{paths[-1]}: it names its own chain, and {before[0]} is not in it; give the last file alone")
    first = [read_parameters(item) for item in before]
    _check_order(first)
    return first + chain


def _check_order(files: list[Parameters]) -> None:
    """Raises InputError where a file that is given before the last names another initial transform than the one that
    is given before it.
    """
    for before, current in zip([None, *files], files):
        name = current.initial
        if name is not None and (before is None or PureWindowsPath(name).name != before.path.name):
            raise InputError(
                f"{current.path}: its initial transform is {name}, which is not the file given before it; give the "
                "files in the order of the registration, or its last one alone"
            )


def _note_nameless(first: Parameters, given: int) -> None:
    """itk-elastix leaves the name of the initial transform empty: which files belong together only their order says."""
    match = re.fullmatch(r"(.*\.)(\d+)(\.txt)", first.path.name)
    if given > 1 or match is None or match[2] == "0" or not any(first.text(key, "-") == "" for key in INITIAL_KEYS):
        return
    before = first.path.with_name(f"{match[1]}{int(match[2]) - 1}{match[3]}")
    if before.is_file():
        warn(
            f"{first.path}: it names no initial transform and was taken alone; if it continues {before.name}, give "
            "both files in their order"
        )


def _mapping(chain: list[Parameters], context: Context, turn: Turn | None) -> Mapping:
    transforms = [itk.check_transform(parameters.transform(), str(parameters.path)) for parameters in chain]
    if len({transform.GetDimension() for transform in transforms}) > 1:
        raise InputError(f"{chain[-1].path}: the chain mixes 2D and 3D; give the transforms of one registration")
    mapping, *_ = transforms
    adds = [parameters.adds for parameters in chain]
    for parameters, transform, added in zip(chain[1:], transforms[1:], adds[1:]):
        if added:
            grid = context.need_reference(str(parameters.path))
            grid = grid if turn is None else turn.of_grid(grid)
            points = [sitk.Cast(from_transform(part, grid), sitk.sitkVectorFloat64) for part in (mapping, transform)]
            mapping = to_transform(points[0] + points[1])
        else:
            mapping = sitk.CompositeTransform([transform, mapping])
    return mapping if turn is None else turn.around(mapping)
