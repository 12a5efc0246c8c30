"""Displacements of other tools into transform nodes, and transform nodes out to other tools."""

from __future__ import annotations

from typing import Any

import slicer

from ..grid import Grid
from .transforms import add_transform, displacement_from_transform, update_transform
from .volumes import image_from_volume


def import_displacement(
    source: Any,
    node: slicer.vtkMRMLTransformNode | None = None,
    reference: slicer.vtkMRMLVolumeNode | None = None,
    convention: str | None = None,
    scene: slicer.vtkMRMLScene | None = None,
) -> slicer.vtkMRMLTransformNode:
    """A displacement, as a file or array of any convention `exchange.read` knows, in a transform node.

    Args:
        source: a path (or list of paths), a numpy array, an opened .npz, or a torch tensor; (1, 3, D, H, W) and
            (3, D, H, W) in voxels is what VoxelMorph gives.
        node: replaced, whatever it held, of whichever transform class; default a new node in `scene`.
        reference: the fixed volume. Arrays carry no geometry and need it; default the volume that `node` refers to as
            its fixed one. A file that has a grid keeps it.
        convention: as `exchange.read` names them; default what the source shows without doubt.

    Raises InputError as `exchange.read` does; `node` is untouched then.
    """
    from ..exchange import read

    if reference is None and node is not None:
        reference = node.GetNodeReference(slicer.vtkMRMLTransformNode.GetFixedNodeReferenceRole())
    image = None if reference is None else image_from_volume(reference)
    displacement = read(source, convention, image)
    if node is None:
        scene = scene or (reference.GetScene() if reference is not None else slicer.mrmlScene)
        return add_transform(scene, displacement, scene.GenerateUniqueName("Displacement"), fixed=reference)
    moving = node.GetNodeReference(slicer.vtkMRMLTransformNode.GetMovingNodeReferenceRole())
    update_transform(node, displacement, reference, moving)
    return node


def export_displacement(
    node: slicer.vtkMRMLTransformNode,
    path: Any,
    convention: str = "itk",
    reference: slicer.vtkMRMLVolumeNode | None = None,
    **options: Any,
) -> list[str]:
    """Write what a transform node does to volumes, for another tool; returns the warnings of what that tool cannot express.

    The displacement is in world coordinates and lies on the reference volume's grid, else on the node's own.
    Raises InputError when neither gives a grid, and as `exchange.write` does.
    """
    from ..exchange import write

    grid = None if reference is None else Grid.of(image_from_volume(reference))
    return write(displacement_from_transform(node, grid), path, convention, **options) or []
