"""Registration of two volume nodes: from the scene to the library and back."""

from __future__ import annotations

import logging
from typing import Any

import SimpleITK as sitk
import slicer

from ..errors import InputError
from ..space.grid import Grid
from .plane import Plane
from .transforms import add_transform, itk_transform_from_node, update_transform
from .volumes import describe, folded_parent, image_from_volume, update_volume

_LOG = logging.getLogger(__name__)


def register_volumes(
    fixed: slicer.vtkMRMLVolumeNode,
    moving: slicer.vtkMRMLVolumeNode,
    output_transform: slicer.vtkMRMLTransformNode | None = None,
    output_volume: slicer.vtkMRMLVolumeNode | None = None,
    *,
    moving_labels: slicer.vtkMRMLVolumeNode | None = None,
    output_labels: slicer.vtkMRMLVolumeNode | None = None,
    output_inverse: slicer.vtkMRMLTransformNode | None = None,
    mask: slicer.vtkMRMLVolumeNode | None = None,
    initial_transform: slicer.vtkMRMLTransformNode | None = None,
    model: Any = None,
    **settings: Any,
) -> slicer.vtkMRMLTransformNode:
    """Register `moving` to `fixed` and return the transform node; blocks, and opens no window.

    Everything is in world coordinates: the result leads from where the fixed volume lies in the world to where the
    moving volume lies in the world, with the parents that both hang under. So it is valid for the moving node where it
    hangs: put its topmost parent under the result (`transforms.hang_under` does), or the node itself when it has no
    parent. A result node that the moving volume hangs under already (a second run) is about to be replaced, so the
    moving volume counts from below it; it is valid there again.

    Args:
        fixed, moving: scalar volumes; two single slices are registered as 2D images.
        output_transform: replaced, whatever it held; default a new node. Grid of the fixed volume, from-parent.
        output_volume: the moving volume on the fixed volume's grid, hung where the fixed volume hangs.
        moving_labels, output_labels: a label volume of the moving volume, and its warped labels on the fixed grid.
        output_inverse: the inverse displacement, on the moving volume's grid.
        mask: similarity counts only where this volume is not zero; it may lie on any grid.
        initial_transform: the start, a transform node that the moving volume would hang under.
        model: a name, a weights file, or a loaded model; default the bundled one.
        settings: as for `registration.register`: align, network_spacing, refine, label_interpolation, device, seed.

    Raises InputError (naming the node) for volumes that cannot be registered, DependencyMissing when torch or
    voxelmorph is not installed. No node is changed then.
    """
    _check_nodes(fixed, moving, output_transform, [output_volume, output_labels], [mask, moving_labels])
    if (moving_labels is None) != (output_labels is None):
        raise InputError("labels: give both the moving volume's labels and the node for the warped ones, or neither")
    fixed_image = _scalar_image(fixed)
    below = output_transform if output_transform is not None and _hangs_under(moving, output_transform) else None
    moving_image = _scalar_image(moving, below)
    # Labels of the moving volume share its place in the world, under the same parents or others.
    labels_below = (
        below if below is not None and moving_labels is not None and _hangs_under(moving_labels, below) else None
    )
    labels_image = None if moving_labels is None else image_from_volume(moving_labels, labels_below, labels=True)
    fixed_grid = Grid.of(fixed_image)
    mask_image = None if mask is None else _on_grid(image_from_volume(mask, labels=True), fixed_grid)
    if initial_transform is not None:
        settings["initial_transform"] = itk_transform_from_node(initial_transform, fixed_grid)

    flat = fixed_image.GetSize()[2] == 1 and moving_image.GetSize()[2] == 1
    if fixed_image.GetSize()[2] == 1 and not flat:
        raise InputError(
            f"{describe(fixed)}: one slice cannot be registered with the volume {describe(moving)}; choose two "
            "volumes or two slices"
        )
    if flat:
        plane, heights = Plane.of(fixed_image), (Plane.of(fixed_image).height, Plane.of(moving_image).height)
        if "initial_transform" in settings:
            raise InputError(
                f"{describe(initial_transform)}: a start is not supported for single slices; harden it on the "
                "moving slice"
            )
        flatten = plane.flatten
        parts = [(fixed_image, fixed), (moving_image, moving), (labels_image, moving_labels), (mask_image, mask)]
        images = [None if image is None else flatten(image, describe(node)) for image, node in parts]
    else:
        images = [fixed_image, moving_image, labels_image, mask_image]

    from ..registration.registrar import register

    keywords = {} if model is None else {"model": model}
    result = register(images[0], images[1], mask=images[3], **keywords, **settings)
    for note in result.notes:
        _LOG.info("%s", note)
    warped = result.warped if output_volume is not None else None
    warped_labels = (
        None if labels_image is None else result.warp_labels(images[2], settings.get("label_interpolation", "nearest"))
    )
    displacement = result.displacement
    inverse = result.inverse_displacement if output_inverse is not None else None
    if flat:
        displacement = plane.lift(displacement, fixed_grid, heights[1])
        warped, warped_labels = (
            None if image is None else plane.raise_image(image, fixed_grid) for image in (warped, warped_labels)
        )
        if inverse is not None:
            inverse = Plane(plane.axes, heights[1]).lift(inverse, Grid.of(moving_image), heights[0])

    scene = fixed.GetScene()
    if output_transform is None:
        name = scene.GenerateUniqueName(f"{moving.GetName()} to {fixed.GetName()}")
        output_transform = add_transform(scene, displacement, name, fixed=fixed, moving=moving)
    else:
        update_transform(output_transform, displacement, fixed, moving)
    _record(output_transform, result)
    parent = folded_parent(fixed)
    for image, node in ((warped, output_volume), (warped_labels, output_labels)):
        if image is not None:
            update_volume(node, image, parent)
            node.CreateDefaultDisplayNodes()
    if inverse is not None:
        update_transform(output_inverse, inverse, moving, fixed)
    return output_transform


def _check_nodes(fixed, moving, output_transform, outputs, others) -> None:
    for node, what in ((fixed, "fixed"), (moving, "moving")):
        if node is None:
            raise InputError(f"the {what} volume: none is chosen; choose a volume")
    if fixed is moving:
        raise InputError(f"{describe(fixed)}: chosen as both fixed and moving volume; choose two volumes")
    inputs = [node for node in (fixed, moving, *others) if node is not None]
    for node in outputs:
        if node is not None and any(node is other for other in inputs):
            raise InputError(f"{describe(node)}: chosen as input and as output; choose or create another output volume")
    if output_transform is not None and _hangs_under(fixed, output_transform):
        raise InputError(
            f"{describe(output_transform)}: the fixed volume {describe(fixed)} hangs under it and would be moved by "
            "the result; take the fixed volume from under it, or choose another output transform"
        )


def _hangs_under(node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLTransformNode) -> bool:
    parent = node.GetParentTransformNode()
    while parent is not None:
        if parent is transform:
            return True
        parent = parent.GetParentTransformNode()
    return False


def _scalar_image(node: slicer.vtkMRMLVolumeNode, below: slicer.vtkMRMLTransformNode | None = None) -> sitk.Image:
    image = image_from_volume(node, below)
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(
            f"{describe(node)}: each voxel holds {image.GetNumberOfComponentsPerPixel()} numbers, one is needed; "
            "convert it with the Vector to Scalar Volume module"
        )
    return image


def _on_grid(mask: sitk.Image, grid: Grid) -> sitk.Image:
    inside = mask != 0
    if Grid.of(inside).same_as(grid):
        return grid.stamp(inside)
    return sitk.Resample(
        inside, grid.empty_image(sitk.sitkUInt8), sitk.Transform(3, sitk.sitkIdentity), sitk.sitkNearestNeighbor
    )


def _record(node: slicer.vtkMRMLTransformNode, result: Any) -> None:
    """How the transform came about, as attributes that are saved with it."""
    report = result.report()
    for name, value in {
        "Model": report["model"]["name"],
        "ModelSha256": report["model"]["sha256"],
        "SimilarityMetric": report["similarity"]["metric"],
        "SimilarityBefore": report["similarity"]["before"],
        "SimilarityAfter": report["similarity"]["after"],
        "FoldedPercent": report["folded_percent"],
    }.items():
        node.SetAttribute(f"VoxelMorph.{name}", f"{value:.6g}" if isinstance(value, float) else str(value))
