"""The nodes of a registration, as they were chosen, and which choices cannot work."""

from __future__ import annotations

from dataclasses import dataclass

import slicer

from ..errors import InputError
from .transforms import hangs_under, nodes_under
from .volumes import describe


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
        if self.transform is not None and hangs_under(self.fixed, self.transform):
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
