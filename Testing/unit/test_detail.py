"""Where a directly registered frame gets full detail: around the segmentation, or everywhere where more is wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.support.propagation_cases import CENTRE, CentroidNetwork, centroid_model, frame, labels
from VoxelMorphRegistrationLib.annotations.points import Points
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.propagation.propagate import Propagation, propagate
from VoxelMorphRegistrationLib.propagation.request import Request
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings
from VoxelMorphRegistrationLib.registration.registrar import Registrar
from VoxelMorphRegistrationLib.registration.settings import Settings


class _Recording(CentroidNetwork):
    def __init__(self) -> None:
        super().__init__()
        self.detailed = []

    def flow(self, fixed, moving, repeating=True):
        self.detailed.append(None)
        return super().flow(fixed, moving, repeating)

    def finished(self, fixed, moving, rough, repeating=True, detailed=None):
        self.detailed[-1] = detailed
        return rough


def _seen(segmentation=None, **options):
    """Where each of two frames got full detail, by what the network was asked for."""
    network = _Recording()
    frames = [frame(index) for index in range(3)]
    results = list(propagate(frames, segmentation, 0, replace(centroid_model(), network=network), **options))
    assert all(result.status != "failed" for result in results)
    return network.detailed


def test_a_direct_frame_has_full_detail_within_4_voxels_of_where_the_segmentation_comes_to_lie():
    found = list(propagate([frame(0), frame(2)], labels(0), 0, centroid_model()))[1]
    (around,) = _seen(labels(0), select=[2])
    inside = np.argwhere(sitk.GetArrayViewFromImage(found.segmentation.layers[0]) > 0)
    for part, low, high, n in zip(around.box, inside.min(0) - 4, inside.max(0) + 5, around.shape):
        # Found on every second voxel, by linear interpolation.
        assert max(0, low) - 3 <= part.start <= max(0, low) + 1 and min(n, high) - 1 <= part.stop <= min(n, high) + 3


@pytest.mark.parametrize(
    "options",
    [
        {"detail": "everywhere"},
        {"strategy": "sequential"},
        {"points": Points(CENTRE[None], {})},
    ],
)
def test_it_is_everywhere_where_displacements_are_wanted_or_combined_or_other_things_are_carried(options):
    assert _seen(labels(0), **options) == [None, None]


def test_transforms_that_are_saved_have_full_detail_everywhere_and_the_record_says_where_it_is_not(tmp_path):
    for index in range(2):
        sitk.WriteImage(frame(index), str(tmp_path / f"{index}.nrrd"))
    sitk.WriteImage(labels(0), str(tmp_path / "drawn.nrrd"))
    for transforms, detail in ((0, "segmentation"), (1, None)):
        request = Request(
            str(tmp_path), (0,), (str(tmp_path / "drawn.nrrd"),), transforms=transforms, pair={"align": "none"}
        )
        propagation = request.open(centroid_model())
        assert request.describe(propagation).settings.get("detail") == detail
        assert propagation.detail == (detail or "everywhere")


def test_an_unknown_detail_is_refused():
    with pytest.raises(InputError, match="detail 'liver': unknown; use one of segmentation, everywhere"):
        Propagation([frame(0)], labels(0), 0, centroid_model(), PropagationSettings(detail="liver"))


def test_around_the_segmentation_the_bundled_network_finds_what_it_finds_with_full_detail_everywhere():
    fixed, moving = frame(2), frame(0)
    registrar = Registrar("any-anatomy-fast", Settings(align="none"))
    whole, around, rough = (
        sitk.GetArrayFromImage(registrar.register(fixed, moving, region=region).displacement)
        for region in (None, labels(0), _corner())
    )
    inside = sitk.GetArrayFromImage(labels(2)) > 0
    apart, without = (np.linalg.norm(found - whole, axis=-1)[inside].mean() for found in (around, rough))
    assert apart < 0.5 * without


def _corner() -> sitk.Image:
    """A segmentation far from what moves."""
    corner = labels(0) * 0
    corner[0, 0, 0] = 1
    return corner
