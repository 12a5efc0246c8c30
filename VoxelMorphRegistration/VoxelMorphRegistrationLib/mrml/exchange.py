"""Displacements of other tools into transform nodes, and transform nodes out to other tools."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import slicer

from .. import exchange
from ..errors import InputError
from ..space.grid import Grid
from ..space.plane import Plane
from .transforms import add_transform, displacement_from_transform, update_transform
from .volumes import image_from_volume

_LOG = logging.getLogger(__name__)
_ARRAY_FILES = (".npy", ".npz", ".pt", ".pth")


def import_displacement(
    source: Any,
    node: slicer.vtkMRMLTransformNode | None = None,
    reference: slicer.vtkMRMLVolumeNode | None = None,
    convention: str | None = None,
    moving: slicer.vtkMRMLVolumeNode | None = None,
    align_corners: bool | None = None,
    array_axes: exchange.ArrayAxes | None = None,
) -> slicer.vtkMRMLTransformNode:
    """A displacement of any convention `exchange.read` knows, in a transform node that pulls in world coordinates.

    Args:
        source: a path or list of paths, a numpy array, a torch tensor, or an opened .npz that holds one field.
        node: replaced, whatever it held, of whichever transform class; default a new node.
        reference: the fixed volume, on whose grid the displacement is laid. Arrays carry no geometry and need it;
            default for them is the volume that `node` refers to as its fixed one. Without it a file keeps its own grid.
        convention: default what the source shows without doubt, and 'voxelmorph' for arrays and array files:
            (1, 3, D, H, W) or (3, D, H, W) in voxels of the reference.
        moving, align_corners: for 'torch'.
        array_axes: 'kji', as Slicer's own arrays run, or 'ijk', as nibabel's do. Default what the shape tells; where
            it fits both, the convention's usual order ('kji' for 'voxelmorph'), with a warning in the log.

    Raises InputError as `exchange.read` does; no node is changed then.
    """
    source = _plain(source)
    is_array = hasattr(source, "shape")
    from_file = isinstance(source, (str, os.PathLike)) and str(source).lower().endswith(_ARRAY_FILES)
    if convention is None and (is_array or from_file):
        convention = "voxelmorph"
    if reference is None and (is_array or from_file):
        if node is not None:
            reference = node.GetNodeReference(slicer.vtkMRMLTransformNode.GetFixedNodeReferenceRole())
        if reference is None:
            raise InputError(
                "the displacement: an array says nothing of where its voxels lie; give the fixed volume as the "
                "reference"
            )
    image = None if reference is None else image_from_volume(reference)
    options = {"align_corners": align_corners, "moving": None if moving is None else image_from_volume(moving)}
    with exchange.collected_warnings() as messages:
        displacement = _read(source, convention, image, array_axes, options)
    _log(messages)
    if node is None:
        scene = reference.GetScene() if reference is not None else slicer.mrmlScene
        name = scene.GenerateUniqueName(_name(source))
        return add_transform(scene, displacement, name, fixed=reference, moving=moving)
    update_transform(node, displacement, reference, moving)
    return node


def export_displacement(
    node: slicer.vtkMRMLTransformNode,
    path: str | os.PathLike,
    convention: str = "itk",
    reference: slicer.vtkMRMLVolumeNode | None = None,
    moving: slicer.vtkMRMLVolumeNode | None = None,
    **options: Any,
) -> list[str]:
    """Write what a transform node does to volumes, as another tool keeps it; returns what that tool cannot hold, in
    words.

    The displacement is in world coordinates and lies on the reference volume's grid, else on the node's own. `options`
    are those of `exchange.write`: align_corners, array_axes, dtype.
    Raises InputError when nothing gives a grid, and as `exchange.write` does.
    """
    if node is None:
        raise InputError("the transform: none is chosen; choose a transform")
    grid = None if reference is None else Grid.of(image_from_volume(reference))
    displacement = displacement_from_transform(node, grid)
    if moving is not None:
        options["moving"] = image_from_volume(moving)
    with exchange.collected_warnings() as messages:
        exchange.write(displacement, path, convention, **options)
    _log(messages)
    return messages


def _plain(source: Any) -> Any:
    """An opened .npz (or another mapping of names to arrays) becomes the one field in it."""
    if not isinstance(source, Mapping) and not hasattr(source, "files"):
        return source
    fields = {name: source[name] for name in source if getattr(source[name], "ndim", 0) >= 3}
    if len(fields) != 1:
        raise InputError(
            f"the displacement: of {', '.join(source) or 'nothing'}, which is the field is not clear; give that array "
            "itself, such as arrays['displacement']"
        )
    return next(iter(fields.values()))


def _read(
    source: Any, convention: str | None, image: sitk.Image | None, array_axes: exchange.ArrayAxes | None, options: dict
) -> sitk.Image:
    """On the reference's grid; a 2D field becomes that of a single-slice reference."""
    try:
        return exchange.read(source, convention, image, array_axes=array_axes, **options)
    except InputError:
        if image is None or image.GetSize()[2] > 1:
            raise
        plane = Plane.of(image)
        flat = plane.flatten(image, "the reference")
        try:
            options = {**options, "moving": None}
            read = exchange.read(source, convention, flat, array_axes=array_axes, **options)
        except InputError:
            pass  # The first reason is the one about the file as it is.
        else:
            return plane.lift(read, Grid.of(image), plane.height)
        raise


def _log(messages: list[str]) -> None:
    for message in messages:
        _LOG.warning("%s", message)


def _name(source: Any) -> str:
    if isinstance(source, (list, tuple)) and source:
        source = source[0]
    return Path(source).name.split(".")[0] if isinstance(source, (str, os.PathLike)) else "Displacement"
