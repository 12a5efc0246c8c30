"""Registration of two volume nodes: from the scene to the library and back."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from ..space.grid import Grid
from .pair_images import PairImages, Results
from .registration_nodes import RegistrationNodes
from .transforms import itk_transform_from_node

if TYPE_CHECKING:
    from ..models.loading import Model
    from ..registration.settings import Settings

_LOG = logging.getLogger(__name__)


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
