"""A pair of nodes as images, and the way of a registration's results back into nodes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import SimpleITK as sitk
import slicer

from ..errors import InputError
from ..files import slicer_attributes
from ..space.grid import Grid
from ..space.plane import SlicePair
from .beside import Beside, value_of
from .regions import region_on_grid
from .registration_nodes import RegistrationNodes
from .study import put_beside
from .transforms import grid_transform, hangs_under, set_pull
from .volumes import describe, folded_parent, image_from_volume, update_volume


@dataclass(frozen=True)
class _Images:
    """What the nodes hold, in LPS mm of the world; the mask lies on the fixed image's grid."""

    fixed: sitk.Image
    moving: sitk.Image
    labels: sitk.Image | None
    mask: sitk.Image | None


@dataclass(frozen=True)
class Results:
    """What replaces the contents of the nodes; None for a node that was not chosen."""

    displacement: sitk.Image
    inverse: sitk.Image | None
    warped: sitk.Image | None
    labels: sitk.Image | None


@dataclass(frozen=True)
class PairImages:
    """A pair of nodes as images, wherever it is registered then, and the way of its results back into the nodes.

    Attributes:
        seen: what is to be registered, LPS mm of the world; of single slices 2D images.
    """

    nodes: RegistrationNodes
    images: _Images
    slices: SlicePair | None
    seen: _Images

    @classmethod
    def of(cls, nodes: RegistrationNodes) -> PairImages:
        """Raises InputError, naming the node, for a pair that cannot be registered; no node is changed."""
        nodes.check()
        images = _read(nodes)
        slices = _slices(nodes, images)
        return cls(nodes, images, slices, images if slices is None else _flattened(nodes, images, slices))

    def put(self, results: Results, report: dict[str, Any]) -> slicer.vtkMRMLTransformNode:
        """Replace what the result nodes hold, and return the transform node."""
        return value_of(self.put_in_pieces(results, report))

    def put_in_pieces(
        self, results: Results, report: dict[str, Any]
    ) -> Generator[Any, Any, slicer.vtkMRMLTransformNode]:
        """As `put`, in pieces (see `beside`)."""
        lifted = results if self.slices is None else _lifted(results, self.slices, self.images)
        transform = yield from _write(self.nodes, lifted)
        _record(transform, report)
        nodes = self.nodes
        put_beside(nodes.moving, [transform, nodes.warped_volume, nodes.warped_labels, nodes.inverse])
        return transform


def _read(nodes: RegistrationNodes) -> _Images:
    fixed = _scalar_image(nodes.fixed)
    # A moving volume under the result of an earlier run counts from below it, and so do its labels.
    below = _replaced_parent(nodes.moving, nodes.transform)
    moving = _scalar_image(nodes.moving, below)
    labels = None
    if nodes.moving_labels is not None:
        labels = image_from_volume(nodes.moving_labels, _replaced_parent(nodes.moving_labels, below), labels=True)
    mask = None if nodes.mask is None else region_on_grid(nodes.mask, Grid.of(fixed))
    return _Images(fixed, moving, labels, mask)


def _slices(nodes: RegistrationNodes, images: _Images) -> SlicePair | None:
    """How single slices become 2D images and back; None for volumes. Raises InputError for one of each."""
    if images.fixed.GetSize()[2] > 1:
        return None
    if images.moving.GetSize()[2] > 1:
        raise InputError(
            f"{describe(nodes.fixed)}: one slice cannot be registered with the volume {describe(nodes.moving)}; "
            "choose two volumes or two slices"
        )
    if nodes.initial_transform is not None:
        raise InputError(
            f"{describe(nodes.initial_transform)}: a start is not supported for single slices; harden it on the "
            "moving slice"
        )
    return SlicePair.of(images.fixed, images.moving)


def _flattened(nodes: RegistrationNodes, images: _Images, slices: SlicePair) -> _Images:
    def flat(image: sitk.Image | None, node: slicer.vtkMRMLVolumeNode | None) -> sitk.Image | None:
        return None if image is None else slices.flatten(image, describe(node))

    return _Images(
        slices.flatten(images.fixed, describe(nodes.fixed)),
        slices.flatten(images.moving, describe(nodes.moving)),
        flat(images.labels, nodes.moving_labels),
        flat(images.mask, nodes.mask),
    )


def _lifted(results: Results, slices: SlicePair, images: _Images) -> Results:
    grid = Grid.of(images.fixed)
    return Results(
        slices.lift(results.displacement, grid),
        None if results.inverse is None else slices.lift_inverse(results.inverse, Grid.of(images.moving)),
        None if results.warped is None else slices.raise_image(results.warped, grid),
        None if results.labels is None else slices.raise_image(results.labels, grid),
    )


def _write(nodes: RegistrationNodes, results: Results) -> Generator[Any, Any, slicer.vtkMRMLTransformNode]:
    """The transform node, after every chosen node got its result; in pieces."""
    fixed, moving, transform = nodes.fixed, nodes.moving, nodes.transform
    pull = yield Beside(partial(grid_transform, results.displacement))
    push = None if results.inverse is None else (yield Beside(partial(grid_transform, results.inverse)))
    if transform is None:
        name = fixed.GetScene().GenerateUniqueName(f"{moving.GetName()} to {fixed.GetName()}")
        transform = fixed.GetScene().AddNewNodeByClass("vtkMRMLTransformNode", name)
    set_pull(transform, pull, fixed, moving)
    yield
    parent = folded_parent(fixed)
    for image, node in ((results.warped, nodes.warped_volume), (results.labels, nodes.warped_labels)):
        if image is not None and node is not None:
            update_volume(node, image, parent)
            yield
            _dress(node, moving if node is nodes.warped_volume else nodes.moving_labels)
            yield
    if push is not None:
        set_pull(nodes.inverse, push, moving, fixed)
    return transform


def _dress(node: slicer.vtkMRMLVolumeNode, like: slicer.vtkMRMLVolumeNode | None) -> None:
    """Show a result as the volume it was made from is shown (window, level, colours), unless it has looks already."""
    if node.GetDisplayNode() is not None:
        return
    node.CreateDefaultDisplayNodes()
    display, theirs = node.GetDisplayNode(), like.GetDisplayNode() if like is not None else None
    if display is not None and theirs is not None and display.GetClassName() == theirs.GetClassName():
        display.CopyContent(theirs)
        if display.IsA("vtkMRMLScalarVolumeDisplayNode"):
            # Automatic window and level would follow the result's own values, and the pair look less alike than it is.
            display.SetAutoWindowLevel(False)


def _replaced_parent(
    node: slicer.vtkMRMLVolumeNode, transform: slicer.vtkMRMLTransformNode | None
) -> slicer.vtkMRMLTransformNode | None:
    """The transform that is about to be replaced where the node hangs under it, else None."""
    return transform if transform is not None and hangs_under(node, transform) else None


def _scalar_image(node: slicer.vtkMRMLVolumeNode, below: slicer.vtkMRMLTransformNode | None = None) -> sitk.Image:
    image = image_from_volume(node, below)
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(
            f"{describe(node)}: each voxel holds {image.GetNumberOfComponentsPerPixel()} numbers, one is needed; "
            "convert it with the Vector to Scalar Volume module"
        )
    return image


def _record(node: slicer.vtkMRMLTransformNode, report: dict[str, Any]) -> None:
    """How the transform came about, as attributes that are saved with it."""
    values = {
        slicer_attributes.MODEL: report["model"]["name"],
        slicer_attributes.MODEL_SHA256: report["model"]["sha256"],
        slicer_attributes.SIMILARITY_METRIC: report["similarity"]["metric"],
        slicer_attributes.SIMILARITY_UNTOUCHED: report["similarity"]["untouched"],
        slicer_attributes.SIMILARITY_BEFORE: report["similarity"]["before"],
        slicer_attributes.SIMILARITY_AFTER: report["similarity"]["after"],
        slicer_attributes.FOLDED_PERCENT: report["folded_percent"],
        slicer_attributes.FLAG: "; ".join(report["doubts"]),
    }
    for name, text in slicer_attributes.as_text(values).items():
        node.SetAttribute(name, text)
