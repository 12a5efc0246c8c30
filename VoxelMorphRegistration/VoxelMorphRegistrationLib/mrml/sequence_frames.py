"""The volumes of a sequence node as the frames of a propagation.

They are read from the sequence itself, so the item a person looks at in the browser never changes.
"""

from __future__ import annotations

import SimpleITK as sitk
import slicer

from ..errors import InputError
from ..propagation.frames import Frames
from ..space.grid import Grid
from ..space.plane import Plane
from .volumes import describe, grid_of_volume, image_from_volume


class SequenceFrames(Frames):
    """The volumes of a sequence node, in LPS mm of the coordinates their volume proxy has below its parent transforms.

    A sequence of single slices gives 2D images, in the plane of its first frame.
    """

    def __init__(self, sequence: slicer.vtkMRMLSequenceNode) -> None:
        """Raises InputError when there is no sequence, no frame in it, or frames that are no volumes."""
        if sequence is None:
            raise InputError("the volume sequence: none is chosen; choose a sequence")
        if not sequence.IsA("vtkMRMLSequenceNode"):
            raise InputError(f"{describe(sequence)}: not a sequence; choose a sequence of volumes")
        if sequence.GetNumberOfDataNodes() == 0:
            raise InputError(f"{describe(sequence)}: has no frames; load or choose another sequence")
        if not sequence.GetNthDataNode(0).IsA("vtkMRMLScalarVolumeNode"):
            raise InputError(
                f"{describe(sequence)}: its frames are {sequence.GetDataNodeTagName()} nodes; choose a sequence of "
                "volumes"
            )
        self.sequence = sequence
        self.index_name, self.index_unit = sequence.GetIndexName() or "frame", sequence.GetIndexUnit() or ""
        self.index_type = sequence.GetIndexTypeAsString()
        first = sequence.GetNthDataNode(0)
        self.plane = Plane.of(image_from_volume(first)) if grid_of_volume(first).size[2] == 1 else None

    def __len__(self) -> int:
        return self.sequence.GetNumberOfDataNodes()

    def __getitem__(self, index: int) -> sitk.Image:
        image = self.volume(index)
        return image if self.plane is None else self.plane.flatten(image, self.name(index))

    def volume(self, index: int) -> sitk.Image:
        """The frame as Slicer has it, 3D in any case. Raises InputError for what is no scalar volume with voxels."""
        image = image_from_volume(self._node(index))
        if image.GetNumberOfComponentsPerPixel() > 1:
            raise InputError(
                f"{self.name(index)}: each voxel holds {image.GetNumberOfComponentsPerPixel()} numbers, one is needed"
            )
        return image

    def grid(self, index: int) -> Grid:
        """Where the voxels of `volume` lie. Raises InputError as it does."""
        return grid_of_volume(self._node(index))

    def _node(self, index: int) -> slicer.vtkMRMLVolumeNode:
        if not 0 <= index < len(self):
            raise IndexError(index)
        node = self.sequence.GetNthDataNode(index)
        if node is None or not node.IsA("vtkMRMLVolumeNode"):
            raise InputError(f"{self.name(index)}: is no volume; remove it from the sequence")
        return node

    def name(self, index: int) -> str:
        return f"frame {index} of {self.sequence.GetName()}"

    def value(self, index: int) -> str:
        return self.sequence.GetNthIndexValue(index)
