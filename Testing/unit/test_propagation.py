"""A segmentation carried along a sequence whose motion is known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import distance_transform_edt

from Testing.support.propagation_cases import CENTRE, GRID, CentroidNetwork, centroid_model, frame, labels, shift_of
from VoxelMorphRegistrationLib.annotations.points import Points
from VoxelMorphRegistrationLib.annotations.segmentation import Segmentation
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.networks import Flow
from VoxelMorphRegistrationLib.propagation.frames import open_frames
from VoxelMorphRegistrationLib.propagation.propagate import Propagation, propagate
from VoxelMorphRegistrationLib.propagation.references import open_references
from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings
from VoxelMorphRegistrationLib.registration.settings import Settings
from VoxelMorphRegistrationLib.space.displacement import from_transform, to_voxel_flow, transform_points
from VoxelMorphRegistrationLib.space.grid import Grid


def dice(found: sitk.Image, truth: sitk.Image) -> float:
    a, b = sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(truth)
    return 2 * np.count_nonzero((a == b) & (a > 0)) / (np.count_nonzero(a) + np.count_nonzero(b))


def shifted(given: sitk.Image, start: int, end: int, grid: Grid = GRID) -> sitk.Image:
    """The labels of frame `start` pulled to where they are in frame `end`, by SimpleITK."""
    pull = sitk.TranslationTransform(3, (shift_of(start) - shift_of(end)).tolist())
    return sitk.Resample(given, grid.empty_image(sitk.sitkUInt8), pull, sitk.sitkNearestNeighbor, 0, given.GetPixelID())


def carry(frames, segmentation=None, reference=0, **options):
    segmentation = labels(0) if segmentation is None else segmentation
    return {r.index: r for r in propagate(frames, segmentation, reference, centroid_model(), **options)}


@pytest.mark.parametrize(
    "options", [{"strategy": "direct"}, {"strategy": "sequential"}, {"strategy": "keyframes", "keyframe_step": 3}]
)
@pytest.mark.parametrize("reference", [0, 4, 9])
def test_every_strategy_carries_the_labels_to_where_the_ball_went(options, reference):
    found = carry([frame(i) for i in range(10)], labels(reference), reference, **options)
    assert sorted(found) == list(range(10))
    for index, result in found.items():
        assert result.status == ("reference" if index == reference else "done")
        assert dice(result.segmentation.layers[0], shifted(labels(reference), reference, index)) > 0.97
        vectors = sitk.GetArrayFromImage(result.displacement)
        assert np.abs(vectors - (shift_of(reference) - shift_of(index))).max() < 0.15


def test_the_reference_comes_out_voxel_for_voxel_and_in_its_pixel_type():
    given = sitk.Cast(labels(2), sitk.sitkInt16)
    result = carry([frame(i) for i in range(4)], given, 2)[2]
    assert result.segmentation.layers[0].GetPixelID() == sitk.sitkInt16
    assert np.array_equal(sitk.GetArrayFromImage(result.segmentation.layers[0]), sitk.GetArrayFromImage(given))
    assert not sitk.GetArrayFromImage(result.displacement).any()


def test_sequential_warps_labels_once_so_that_they_do_not_wear_away():
    """A thin plate warped by nearest neighbour frame after frame would fray; from the reference it stays whole."""
    plate = np.zeros(GRID.shape, np.uint8)
    plate[12, 6:20, 6:20] = 1
    found = carry([frame(i) for i in range(12)], GRID.image(plate), strategy="sequential")
    volumes = [r.quality.labels[1][0] for r in found.values()]
    assert max(volumes) / min(volumes) < 1.12


def test_keyframes_register_only_every_kth_frame_and_some_checks_between():
    model = centroid_model()
    results = list(propagate([frame(i) for i in range(13)], labels(0), 0, model, strategy="keyframes", keyframe_step=4))
    assert model.network.calls == 3 + 3
    compared = [r.index for r in results if np.isfinite(r.interpolation_error_mm)]
    assert compared == [2, 6, 10]
    assert all(r.interpolation_error_mm < 0.1 for r in results if r.index in compared)


def test_the_nearest_segmented_frame_serves_and_at_equal_distance_the_more_similar():
    frames = [frame(i) for i in (0, 0, 5, 8, 8)]
    found = {r.index: r.reference for r in propagate(frames, [labels(0), labels(8)], [0, 4], centroid_model())}
    assert found == {0: 0, 1: 0, 2: 4, 3: 4, 4: 4}
    frames[2] = frame(1)
    found = {r.index: r.reference for r in propagate(frames, [labels(8), labels(0)], [4, 0], centroid_model())}
    assert found[2] == 0


def test_a_frame_that_cannot_be_read_is_named_and_the_others_go_on(tmp_path):
    paths = []
    for index in range(5):
        paths.append(tmp_path / f"f{index}.nrrd")
        sitk.WriteImage(frame(index), str(paths[-1]))
    paths[2].write_bytes(b"broken")
    paths[3].unlink()
    for strategy in ("direct", "sequential", "keyframes"):
        found = carry(paths, strategy=strategy, keyframe_step=2)
        assert [found[i].status for i in range(5)] == ["reference", "done", "failed", "failed", "done"]
        assert "f2.nrrd" in found[2].message and "f3.nrrd: no such file" in found[3].message
        assert dice(found[4].segmentation.layers[0], shifted(labels(0), 0, 4)) > 0.97


def test_frames_of_another_geometry_get_labels_on_their_own_grid():
    other = Grid((30, 24, 30), (1.8, 2.2, 2.0), (-29.0, 9.0, 4.0), GRID.direction)
    frames = [frame(i, other if i >= 3 else GRID) for i in range(6)]
    for strategy in ("direct", "sequential", "keyframes"):
        found = carry(frames, strategy=strategy, keyframe_step=2)
        for index in range(3, 6):
            assert Grid.of(found[index].segmentation.layers[0]).same_as(other)
            assert dice(found[index].segmentation.layers[0], shifted(labels(0), 0, index, other)) > 0.93
            assert "grid" in found[index].message


def test_points_move_with_the_tissue_whatever_the_strategy():
    points = Points(np.array([CENTRE, CENTRE + 5]), {})
    for strategy in ("direct", "sequential", "keyframes"):
        found = carry([frame(i) for i in range(6)], strategy=strategy, keyframe_step=2, points=points)
        for index, result in found.items():
            assert np.abs(result.points.positions - points.positions - shift_of(index)).max() < 0.15


def test_only_the_chosen_frames_are_made():
    assert sorted(carry([frame(i) for i in range(6)], select=[1, 5])) == [1, 5]


def test_closing_the_iterator_stops_the_run_and_its_threads():
    import threading

    model = centroid_model()
    results = propagate([frame(i) for i in range(20)], labels(0), 0, model)
    next(results), next(results)
    results.close()
    assert model.network.calls <= 2
    assert not [t for t in threading.enumerate() if t.name.startswith("voxelmorph-")]


def test_what_an_earlier_run_finished_is_not_computed_again_and_changes_nothing():
    frames = [frame(i) for i in range(9)]
    for strategy, calls in (("sequential", 3), ("keyframes", None)):
        whole = carry(frames, strategy=strategy, keyframe_step=4)
        kept = {i: r.displacement for i, r in whole.items() if r.keep and i <= 5}
        model = centroid_model()
        run = Propagation(frames, labels(0), 0, model, PropagationSettings(strategy, keyframe_step=4))
        again = {r.index: r for r in run.run(finished=range(6), recall=kept.get)}
        assert sorted(again) == [6, 7, 8]
        assert calls is None or model.network.calls == calls
        for index, result in again.items():
            for image in ("displacement",):
                assert np.array_equal(
                    sitk.GetArrayFromImage(getattr(result, image)), sitk.GetArrayFromImage(getattr(whole[index], image))
                )


def test_quality_says_what_the_registration_gained_and_what_the_labels_measure():
    result = carry([frame(0), frame(8)])[1]
    quality = result.quality
    assert quality.similarity_after > 0.995 > quality.similarity_before
    assert quality.inside_after > quality.inside_before and quality.around_after > quality.around_before
    assert quality.inverse_consistency_mm < 0.05 and result.folded_percent == 0
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(result.segmentation.layers[0])
    for label, (millilitres, centroid) in quality.labels.items():
        assert millilitres == pytest.approx(statistics.GetPhysicalSize(label) / 1000)
        assert np.allclose(np.array(centroid) * (-1, -1, 1), statistics.GetCentroid(label))


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda f: dict(reference=7), "reference frame 7"),
        (lambda f: dict(segmentation=labels(0) * 0), "no labelled voxel"),
        (lambda f: dict(segmentation=sitk.Cast(labels(0), sitk.sitkFloat32) * 0.5), "whole numbers"),
        (lambda f: dict(segmentation=[labels(0), labels(1)], reference=[0]), "2 segmentation"),
        (lambda f: dict(segmentation=[labels(0), labels(1)], reference=[1, 1]), "twice"),
        (lambda f: dict(strategy="backwards"), "strategy"),
        (lambda f: dict(select=[9]), "frames"),
        (
            lambda f: dict(segmentation=labels(0, Grid(GRID.size, GRID.spacing, (900.0, 0.0, 0.0), GRID.direction))),
            "labelled voxel",
        ),
        (lambda f: dict(refine=-1), "refine"),
        (lambda f: dict(mask=labels(0), mask_margin=5.0), "give one of them"),
        (
            lambda f: dict(segmentation=None, points=Points(CENTRE[None], {}), mask_margin=5.0),
            "no segmentation to measure it from",
        ),
        (lambda f: dict(mask_margin=-1.0), "mask margin -1.0"),
        (lambda f: f.__setitem__(0, frame(0) * 0 + 3) or {}, "all its voxels are 3"),
        (lambda f: f.__setitem__(0, frame(0)[:, :, 11]) or dict(segmentation=labels(0)[:, :, 11]), "2 dimensions"),
    ],
)
def test_input_nothing_can_be_done_with_is_refused_at_once(make, reason):
    frames = [frame(i) for i in range(3)]
    arguments = {"segmentation": labels(0), "reference": 0, **make(frames)}
    with pytest.raises(InputError, match=reason):
        propagate(frames, model=centroid_model(), **arguments)


class _TurnNetwork(CentroidNetwork):
    """Each call hands out the next of some given voxel flows."""

    kind, steps = "displacement", 0

    def __init__(self, flows) -> None:
        super().__init__()
        self.flows = iter(flows)

    def flow(self, fixed, moving, repeating=True):
        return Flow(torch.as_tensor(next(self.flows), dtype=torch.float32)[None], "displacement", 1, "border", 0)


def test_sequential_composes_steps_in_the_order_in_which_tissue_moved():
    """Steps that do not commute: a turn, then a stretch.

    SimpleITK says where the points of the last frame come from.
    """
    middle = GRID.extent_corners().mean(0).tolist()
    turn = sitk.Euler3DTransform(middle, 0.0, 0.0, 0.3)
    stretch = sitk.ScaleTransform(3, (1.25, 0.9, 1.0))
    stretch.SetCenter(middle)
    flows = [to_voxel_flow(from_transform(step, GRID)) for step in (turn, stretch)]
    model = replace(centroid_model(), network=_TurnNetwork(flows))
    results = list(propagate([frame(i) for i in range(3)], labels(0), 0, model, strategy="sequential"))
    for offset in ((0, 0, 0), (6, 3, -4), (-5, 4, 5)):
        point = (np.asarray(middle) + offset).tolist()
        expected = turn.TransformPoint(stretch.TransformPoint(point))
        assert np.allclose(transform_points(results[2].displacement, np.array([point]))[0], expected, atol=0.05)


def test_a_mask_margin_compares_images_around_each_references_own_segmentation(monkeypatch):
    seen = {}

    def register(self, fixed, moving, mask=None, near=False, region=None):
        seen[moving.GetPixel(0, 0, 0), fixed.GetPixel(0, 0, 0)] = mask
        return SimpleNamespace(displacement=Grid.of(fixed).empty_image(sitk.sitkVectorFloat32, 3), notes=[])

    monkeypatch.setattr("VoxelMorphRegistrationLib.registration.registrar.Registrar.register", register)
    frames = [frame(index) for index in range(4)]
    for index, image in enumerate(frames):
        image[0, 0, 0] = float(index)  # So that a frame is recognised.
    drawn = [labels(0), labels(3)]
    carry(frames, drawn, [0, 3], mask_margin=6.0)
    for frame_number, reference, given in ((1, 0, drawn[0]), (2, 3, drawn[1])):
        spacing = given.GetSpacing()[::-1]
        distance = distance_transform_edt(sitk.GetArrayFromImage(given) == 0, sampling=spacing)
        assert np.array_equal(sitk.GetArrayFromImage(seen[reference, frame_number]) > 0, distance <= 6.0)


def test_of_several_reference_frames_one_may_come_without_a_segmentation_and_is_named_when_nothing_else_is_carried():
    frames = [frame(i) for i in range(3)]
    opened = open_references(open_frames(frames), [labels(0), None], [0, 2])
    assert [reference.segmentation is None for reference in opened] == [False, True]
    with pytest.raises(InputError, match="segmentation of frame 2: there is none"):
        propagate(frames, [labels(0), None], [0, 2], centroid_model())


def test_settings_are_given_whole_or_as_single_options_and_mean_the_same():
    frames = [frame(i) for i in range(5)]
    whole = PropagationSettings("keyframes", 2, select=[0, 1, 2], registration=Settings(align="centers"))
    given = propagate(frames, labels(0), 0, centroid_model(), whole)
    options = {"strategy": "keyframes", "keyframe_step": 2, "select": [0, 1, 2], "align": "centers"}
    single = propagate(frames, labels(0), 0, centroid_model(), **options)
    for one, other in zip(given, single, strict=True):
        assert one.index == other.index and one.status == other.status
        assert np.array_equal(sitk.GetArrayFromImage(one.displacement), sitk.GetArrayFromImage(other.displacement))
    assert PropagationSettings().registration.align == "none"
    with pytest.raises(TypeError, match="not both"):
        propagate(frames, labels(0), 0, centroid_model(), whole, align="rigid")
    with pytest.raises(TypeError, match="speed"):
        propagate(frames, labels(0), 0, centroid_model(), speed="high")


def test_another_network_makes_another_propagation_and_leaves_the_first_as_it_was():
    model, adapted = centroid_model(), centroid_model()
    first = Propagation([frame(i) for i in range(3)], labels(0), 0, model)
    second = first.with_model(adapted)
    assert len(list(second.run())) == 3
    assert (model.network.calls, adapted.network.calls) == (0, 2) and first.model is model


def test_what_goes_wrong_after_the_displacement_was_found_fails_the_frame_alone(monkeypatch):
    warp = Segmentation.warp

    def broken(self, displacement, *how):
        if abs(sitk.GetArrayViewFromImage(displacement)[0, 0, 0, 0] + shift_of(2)[0]) < 0.1:
            raise MemoryError
        return warp(self, displacement, *how)

    monkeypatch.setattr(Segmentation, "warp", broken)
    for strategy in ("direct", "sequential"):
        found = carry([frame(i) for i in range(5)], strategy=strategy)
        assert [found[i].status for i in range(5)] == ["reference", "done", "failed", "done", "done"]
        assert found[2].message == "frame 2: MemoryError" and "in broken" in found[2].failure.traceback
        assert not found[2].keep and found[2].release == ()
