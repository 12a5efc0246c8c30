"""Registration of two volume nodes: from the scene to the library and back."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk
import slicer

from ..errors import InputError
from ..files import slicer_attributes
from ..space.grid import Grid
from ..space.plane import SlicePair
from .beside import Beside, value_of
from .regions import region_on_grid
from .study import put_beside
from .transforms import grid_transform, itk_transform_from_node, nodes_under, set_pull
from .volumes import describe, folded_parent, image_from_volume, update_volume

if TYPE_CHECKING:
    from ..models.loading import Model
    from ..registration.settings import Settings

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegistrationNodes:
    """What is registered, and the nodes that the results replace.

    Attributes:
        fixed, moving: scalar volumes; two single slices are registered as 2D images.
        moving_labels: a label volume of the moving volume.
        mask: similarity counts only where this volume, on any grid, is not zero, or in this box of markups.
        initial_transform: the start, a transform node that the moving volume would hang under.
        transform: replaced, whatever it held; a new node where it is None. Grid of the fixed volume, from-parent.
        warped_volume: the moving volume on the fixed volume's grid, hung where the fixed volume hangs.
        warped_labels: the moving labels on the fixed volume's grid.
        inverse: the inverse displacement, on the moving volume's grid.
    """

    fixed: slicer.vtkMRMLVolumeNode
    moving: slicer.vtkMRMLVolumeNode
    moving_labels: slicer.vtkMRMLVolumeNode | None = None
    mask: slicer.vtkMRMLNode | None = None
    initial_transform: slicer.vtkMRMLTransformNode | None = None
    transform: slicer.vtkMRMLTransformNode | None = None
    warped_volume: slicer.vtkMRMLVolumeNode | None = None
    warped_labels: slicer.vtkMRMLVolumeNode | None = None
    inverse: slicer.vtkMRMLTransformNode | None = None

    def check(self) -> None:
        """Raises InputError, naming the node, for a choice that cannot work."""
        for node, what in ((self.fixed, "fixed"), (self.moving, "moving")):
            if node is None:
                raise InputError(f"the {what} volume: none is chosen; choose a volume")
        if self.fixed is self.moving:
            raise InputError(f"{describe(self.fixed)}: chosen as both fixed and moving volume; choose two volumes")
        inputs = [node for node in (self.fixed, self.moving, self.mask, self.moving_labels) if node is not None]
        for node in (self.warped_volume, self.warped_labels):
            if node is not None and any(node is other for other in inputs):
                raise InputError(
                    f"{describe(node)}: chosen as input and as output; choose or create another output volume"
                )
        if self.transform is not None and _hangs_under(self.fixed, self.transform):
            raise InputError(
                f"{describe(self.transform)}: the fixed volume {describe(self.fixed)} hangs under it and would be "
                "moved by the result; take the fixed volume from under it, or choose another output transform"
            )
        if self.transform is not None:
            self._check_followers(self.transform)
        if (self.moving_labels is None) != (self.warped_labels is None):
            raise InputError(
                "labels: give both the moving volume's labels and the node for the warped ones, or neither"
            )

    def _check_followers(self, transform: slicer.vtkMRMLTransformNode) -> None:
        """A transform that other volumes follow was made for them, and replaced they would jump."""
        made_for = transform.GetNodeReference(slicer.vtkMRMLTransformNode.GetMovingNodeReferenceRole())
        followers = [node for node in nodes_under(transform) if node is not self.moving]
        if made_for is not None and made_for is not self.moving and followers:
            raise InputError(
                f"{describe(transform)}: was made for {describe(made_for)}, and {describe(followers[0])} follows it "
                "and would jump; choose or create another output transform"
            )


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


def register_volumes(
    nodes: RegistrationNodes,
    model: Model | str | Path | None = None,
    settings: Settings | None = None,
    dump_network_inputs: str | Path | None = None,
) -> slicer.vtkMRMLTransformNode:
    """Register the moving volume to the fixed one and return the transform node; blocks, and opens no window.

    Everything is in world coordinates: the result leads from where the fixed volume lies in the world to where the
    moving volume lies in the world, with the parents that both hang under. So it is valid for the moving node where it
    hangs: put its topmost parent under the result (`transforms.hang_under` does), or the node itself when it has no
    parent. A result node that the moving volume hangs under already (a second run) is about to be replaced, so the
    moving volume counts from below it; it is valid there again.

    Args:
        model: a name, a weights file, or a loaded model; default the bundled one.
        settings: the start is `nodes.initial_transform` where that is given.
        dump_network_inputs: a folder for the images as the network saw them.

    Raises:
        InputError: naming the node, for volumes that cannot be registered. No node is changed then.
        DependencyMissing: when torch or voxelmorph is not installed.
    """
    given = PairImages.of(nodes)

    from ..registration.registrar import Registrar
    from ..registration.settings import Settings

    settings = settings or Settings()
    if nodes.initial_transform is not None:
        start = itk_transform_from_node(nodes.initial_transform, Grid.of(given.images.fixed))
        settings = replace(settings, initial_transform=start)
    seen = given.seen
    registration = Registrar(model, settings).register(seen.fixed, seen.moving, seen.mask)
    for note in registration.notes:
        _LOG.info("%s", note)
    if dump_network_inputs is not None:
        registration.dump_network_inputs(dump_network_inputs)
    results = Results(
        registration.displacement,
        registration.inverse_displacement if nodes.inverse is not None else None,
        registration.warped if nodes.warped_volume is not None else None,
        None if seen.labels is None else registration.warp_labels(seen.labels, settings.label_interpolation),
    )
    return given.put(results, registration.report())


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
    return transform if transform is not None and _hangs_under(node, transform) else None


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
