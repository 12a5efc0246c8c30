"""What a registration hands out beside its transform, what it refuses, and its refinement."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from Testing.support.network_images import NONE
from Testing.support.registration_cases import (
    GEOMETRIES,
    STRAIGHT,
    TURNED,
    SmoothNetwork,
    centred_grid,
    picture_on,
    random_model,
    read_image,
    smooth_model,
)
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.flow import sampling
from VoxelMorphRegistrationLib.network_space.inputs import NormalisedImage
from VoxelMorphRegistrationLib.network_space.space import Space
from VoxelMorphRegistrationLib.refinement.finer import Pull
from VoxelMorphRegistrationLib.registration import passes, prepared
from VoxelMorphRegistrationLib.registration.prepared import FinerPair
from VoxelMorphRegistrationLib.registration.registrar import Registrar, register
from VoxelMorphRegistrationLib.registration.settings import Settings, resolve_device
from VoxelMorphRegistrationLib.space.grid import Grid


def test_labels_keep_their_type_and_values_and_match_simpleitk():
    fixed_grid, moving_grid = GEOMETRIES["different grids"]
    fixed, moving = picture_on(fixed_grid), picture_on(moving_grid, (2.0, -1.0, 1.5))
    labels = sitk.Cast(moving > 500, sitk.sitkUInt16) * 4000 + sitk.Cast(moving > 700, sitk.sitkUInt16)
    result = register(fixed, moving, random_model(), align="rigid")
    warped = result.warp_labels(labels)
    oracle = sitk.Resample(labels, fixed, result.transform(), sitk.sitkNearestNeighbor, 0)
    assert warped.GetPixelID() == sitk.sitkUInt16
    assert Grid.of(warped) == fixed_grid
    assert np.array_equal(sitk.GetArrayFromImage(warped), sitk.GetArrayFromImage(oracle))
    smooth = result.warp_labels(labels, "smooth")
    assert smooth.GetPixelID() == sitk.sitkUInt16
    assert set(np.unique(sitk.GetArrayFromImage(smooth))) <= set(np.unique(sitk.GetArrayFromImage(labels)))


def test_labels_on_another_grid_than_their_image_are_resampled_where_they_overlap_and_refused_where_not():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    result = register(picture_on(fixed_grid), picture_on(moving_grid), random_model(), align="none")
    coarse = picture_on(centred_grid((20, 20, 20), (2.5, 2.5, 2.5), TURNED)) > 500
    assert sitk.GetArrayFromImage(result.warp_labels(coarse)).any()
    coarse.SetOrigin((900.0, 0.0, 0.0))
    with pytest.raises(InputError, match="does not lie on its image"):
        result.warp_labels(coarse)
    with pytest.raises(InputError, match="whole numbers"):
        result.warp_labels(picture_on(moving_grid) * 0.37)


def test_the_warped_volume_keeps_its_pixel_type_and_has_air_where_the_moving_image_ends():
    fixed_grid, _ = GEOMETRIES["straight"]
    moving = picture_on(centred_grid((20, 20, 20), (1.0, 1.0, 1.0), STRAIGHT), pixel=sitk.sitkInt16) - 1000
    result = register(picture_on(fixed_grid), moving, smooth_model(), align="none")
    warped = sitk.GetArrayFromImage(result.warped)
    assert result.warped.GetPixelID() == sitk.sitkInt16
    assert warped[0, 0, 0] == sitk.GetArrayFromImage(moving).min()


def test_the_report_has_the_keys_tools_rely_on():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    result = register(picture_on(fixed_grid), picture_on(moving_grid, (2, -1, 1)), random_model(), align="rigid")
    report = result.report()
    keys = {"version", "model", "device", "alignment", "network_grid", "similarity", "folded_percent", "seconds"}
    assert keys <= set(report)
    assert set(report["model"]) == {"name", "sha256"}
    assert set(report["network_grid"]) == {"size", "spacing"}
    assert {"doubts", "notes"} <= set(report)
    assert set(report["similarity"]) == {"metric", "untouched", "before", "after"}
    assert set(report["seconds"]) == {"total", "read", "align", "network", "integrate", "refine", "warp", "write"}
    assert report["seconds"]["network"] > 0
    stages = sum(seconds for stage, seconds in report["seconds"].items() if stage != "total")
    assert report["seconds"]["total"] >= stages - 1e-3


def test_similarity_is_numpy_s_correlation_of_what_the_network_saw_and_made(tmp_path):
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    result = register(
        picture_on(fixed_grid),
        picture_on(moving_grid, (2, -1, 1)),
        random_model(),
        align="none",
        dump_network_inputs=tmp_path,
    )
    similarity = result.similarity
    for name, key in (("moving.nrrd", "before"), ("warped.nrrd", "after")):
        a, b = (sitk.GetArrayFromImage(read_image(tmp_path, n)).ravel() for n in ("fixed.nrrd", name))
        assert similarity["metric"] == "ncc"
        assert abs(np.corrcoef(a, b)[0, 1] - similarity[key]) < 2e-3


def test_the_similarity_of_the_untouched_pair_is_numpy_s_correlation_before_the_alignment(tmp_path):
    grid, _ = GEOMETRIES["straight"]
    start = sitk.TranslationTransform(3, (3.0, -2.0, 1.0))
    for initial, folder in ((None, tmp_path / "as given"), (start, tmp_path / "started")):
        result = register(
            picture_on(grid),
            picture_on(grid, (2, -1, 1)),
            random_model(),
            align="none",
            dump_network_inputs=folder,
            initial_transform=initial,
        )
        fixed, untouched = (
            sitk.GetArrayFromImage(read_image(place, name)).ravel()
            for place, name in ((folder, "fixed.nrrd"), (tmp_path / "as given", "moving.nrrd"))
        )
        # Both are compared where both images are after the start.
        ones = sitk.Resample(result.network_grid.empty_image(sitk.sitkUInt8) + 1, start, sitk.sitkNearestNeighbor, 0)
        shared = np.ones(fixed.size, bool) if initial is None else sitk.GetArrayFromImage(ones).ravel() > 0
        assert abs(np.corrcoef(fixed[shared], untouched[shared])[0, 1] - result.similarity["untouched"]) < 5e-3
    assert result.similarity["untouched"] != result.similarity["before"]


def test_a_moving_image_that_stays_is_prepared_once_and_gives_the_same_as_alone(monkeypatch):
    fixed_grid, _ = GEOMETRIES["straight"]
    moving = picture_on(fixed_grid, (1.0, 0.0, 0.0))
    frames = [picture_on(fixed_grid, (0.0, step, 0.0)) for step in (0.0, 1.0, 2.0)]
    prepared = []
    original = NormalisedImage.of
    monkeypatch.setattr(NormalisedImage, "of", lambda *a: prepared.append(a[-1]) or original(*a))
    model = random_model()
    registrar = Registrar(model, Settings(align="none"))
    together = [registrar.register(frame, moving) for frame in frames]
    assert prepared.count("moving image") == 1
    for frame, result in zip(frames, together):
        alone = register(frame, moving, model, align="none")
        assert np.array_equal(sitk.GetArrayFromImage(alone.displacement), sitk.GetArrayFromImage(result.displacement))


def test_an_image_registered_to_itself_by_a_network_that_finds_nothing_to_do_stays_as_it_is():
    grid = GEOMETRIES["left-handed"][0]
    image = picture_on(grid)
    result = register(image, image, smooth_model(voxels=0.0), align="none")
    assert not sitk.GetArrayFromImage(result.displacement).any()
    assert np.array_equal(sitk.GetArrayFromImage(result.warped), sitk.GetArrayFromImage(image))


def test_voxels_that_are_not_numbers_are_replaced_and_reported():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    array = sitk.GetArrayFromImage(picture_on(fixed_grid))
    array[3:5, 4, 4] = np.nan
    result = register(fixed_grid.image(array), picture_on(moving_grid), random_model(), align="rigid")
    assert np.isfinite(sitk.GetArrayFromImage(result.displacement)).all()
    assert any("fixed image: 2 voxels" in note for note in result.notes)


def test_images_that_nothing_can_be_done_with_are_refused_in_one_line():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    fixed, moving, model = picture_on(fixed_grid), picture_on(moving_grid), random_model()
    far = picture_on(moving_grid)
    far.SetOrigin((500.0, 0.0, 0.0))
    flat = picture_on(GEOMETRIES["two dimensions"][0])
    cases = {
        "constant": (fixed * 0 + 3, moving),
        "do not overlap": (fixed, far),
        "2 dimensions": (fixed, flat),
        "fixed image: has 2 dimensions": (flat, flat),
        "3 numbers": (sitk.Compose(fixed, fixed, fixed), moving),
        "no voxel holds a finite number": (fixed, moving * float("nan")),
    }
    for align in ("none", "rigid", "affine"):
        for reason, (a, b) in cases.items():
            with pytest.raises(InputError, match=reason) as caught:
                register(a, b, model, align=align)
            assert "\n" not in str(caught.value)


def test_images_far_apart_are_brought_together_by_their_centres_when_asked():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    far = picture_on(moving_grid)
    far.SetOrigin(tuple(np.asarray(far.GetOrigin()) + (500.0, -20.0, 7.0)))
    result = register(picture_on(fixed_grid), far, smooth_model(voxels=0.0), align="centers")
    moved = np.asarray(result.alignment.TransformPoint((0.0, 0.0, 0.0)))
    assert np.allclose(moved, (500.0, -20.0, 7.0), atol=0.1)


def test_a_mask_with_nothing_on_the_fixed_image_is_refused_and_another_restricts_the_similarity():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    fixed, moving, model = picture_on(fixed_grid), picture_on(moving_grid, (2, 0, 0)), random_model()
    with pytest.raises(InputError, match="mask"):
        register(fixed, moving, model, mask=fixed < -1, align="none")
    everywhere = register(fixed, moving, model, align="none")
    within = register(fixed, moving, model, mask=fixed > 600, align="none")
    assert within.similarity["before"] != everywhere.similarity["before"]


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "gpu0", "mps"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(InputError, match=name):
        resolve_device(name)


def test_settings_that_make_no_sense_are_refused():
    for wrong in (
        {"align": "elastic"},
        {"refine": -1},
        {"refine": "much"},
        {"refine_similarity": "ssd"},
        {"network_spacing": -2},
        {"network_spacing": "fine"},
        {"label_interpolation": "cubic"},
    ):
        with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
            Settings(**wrong)
    with pytest.raises(InputError, match="nowhere.tfm"):
        Registrar(random_model(), Settings(initial_transform="nowhere.tfm"))


@pytest.mark.parametrize("kind", ["velocity", "displacement"])
def test_refinement_raises_the_similarity_and_keeps_the_inverse(kind):
    grid = GEOMETRIES["straight"][0]
    fixed, moving = picture_on(grid), picture_on(grid, (2.0, -1.5, 1.0))
    model = smooth_model(voxels=0.3, kind=kind)
    plain = register(fixed, moving, model, align="none")
    refined = register(fixed, moving, model, align="none", refine=20)
    assert refined.similarity["after"] > plain.similarity["after"] + 0.01
    assert refined.seconds["refine"] > 0
    points = grid.points()[8:-8:3, 8:-8:3, 8:-8:3].reshape(-1, 3)
    there = [refined.transform().TransformPoint(p) for p in points.tolist()]
    inverse = sitk.DisplacementFieldTransform(sitk.Cast(refined.inverse_displacement, sitk.sitkVectorFloat64))
    back = np.asarray([inverse.TransformPoint(p) for p in there])
    assert np.linalg.norm(back - points, axis=1).max() < 0.2
    oracle = sitk.Resample(moving, fixed, refined.transform(), sitk.sitkLinear, 0.0)
    before = np.corrcoef(sitk.GetArrayFromImage(fixed).ravel(), sitk.GetArrayFromImage(moving).ravel())[0, 1]
    after = np.corrcoef(sitk.GetArrayFromImage(fixed).ravel(), sitk.GetArrayFromImage(oracle).ravel())[0, 1]
    assert after > before


def test_in_the_networks_own_domain_auto_leaves_its_answer_alone_but_a_number_is_obeyed():
    grid = GEOMETRIES["straight"][0]
    fixed, moving = picture_on(grid), picture_on(grid, (2.0, -1.5, 1.0))
    model = smooth_model(voxels=0.3, kind="velocity")
    model = replace(model, card=replace(model.card, anatomy="brain"))
    plain, alone, obeyed = (register(fixed, moving, model, align="none", refine=refine) for refine in (0, "auto", 5))
    arrays = [sitk.GetArrayFromImage(result.displacement) for result in (plain, alone, obeyed)]
    assert np.array_equal(arrays[0], arrays[1]) and not np.array_equal(arrays[0], arrays[2])
    assert obeyed.similarity["after"] > plain.similarity["after"]


class _RepeatingNetwork(SmoothNetwork):
    """Goes half the way where its last pass is not repeated."""

    def flow(self, fixed, moving, repeating=True):
        whole = super().flow(fixed, moving)
        return whole if repeating else replace(whole, field=whole.field / 2, unfinished=True)


@pytest.mark.parametrize("accepted", [True, False])
def test_a_network_repeats_its_last_pass_only_where_no_refinement_takes_that_over(accepted, monkeypatch):
    grid = GEOMETRIES["straight"][0]
    fixed, moving = picture_on(grid), picture_on(grid, (2.0, -1.5, 1.0))
    model = replace(smooth_model(), network=_RepeatingNetwork(voxels=0.3, kind="velocity"))
    if not accepted:
        original = passes.refine
        monkeypatch.setattr(passes, "refine", lambda *a, **k: original(*a, **k).refused())
    plain, refined = (register(fixed, moving, model, align="none", refine=refine) for refine in (0, 5))
    found = [result._found.flows[0].field for result in (plain, refined)]
    assert torch.equal(found[1], found[0] / 2 if accepted else found[0])
    summary = refined.report()["refinement"]
    assert summary["accepted"] is accepted and summary["updates"] > 0
    if not accepted:
        arrays = [sitk.GetArrayFromImage(result.displacement) for result in (plain, refined)]
        assert np.array_equal(*arrays)


def test_a_registration_leaves_the_random_generator_of_the_process_alone():
    grid = GEOMETRIES["straight"][0]
    model = random_model()
    before = torch.get_rng_state()
    for align in ("rigid", "none"):
        register(picture_on(grid), picture_on(grid, (2.0, -1.5, 1.0)), model, align=align, refine=3, seed=7)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_result_keeps_neither_the_registrar_nor_its_prepared_images():
    grid = GEOMETRIES["straight"][0]
    registrar = Registrar(random_model(), Settings(align="none", refine=2))
    result = registrar.register(picture_on(grid), picture_on(grid, (2.0, -1.5, 1.0)))
    kept = weakref.ref(registrar._moving)
    del registrar
    gc.collect()
    assert kept() is None and result.report()["folded_percent"] >= 0


def _constant_field(shift):
    field = sitk.Compose([sitk.Image((6, 6, 6), sitk.sitkFloat64) + along for along in shift])
    field.SetSpacing((80.0, 80.0, 80.0))
    field.SetOrigin((-200.0, -200.0, -200.0))
    return sitk.DisplacementFieldTransform(field)


SHIFT = (1.5, 0.0, 0.5)


@pytest.mark.parametrize(
    ("through", "kind", "on_its_own_grid"),
    [
        (sitk.TranslationTransform(3, SHIFT), "velocity", True),
        (sitk.TranslationTransform(3, SHIFT), "displacement", True),
        (_constant_field(SHIFT), "velocity", False),
    ],
    ids=["linear", "network without a velocity", "not linear"],
)
def test_refinement_is_offered_finer_images_the_moving_one_on_its_own_grid_where_its_alignment_is_linear(
    through, kind, on_its_own_grid, monkeypatch
):
    fixed = picture_on(centred_grid((44, 40, 36), (1.0, 1.0, 1.0), STRAIGHT))
    moving = picture_on(centred_grid((40, 46, 38), (1.0, 1.0, 1.0), TURNED, (7.0, -12.0, 30.0)), (2.0, 0.0, 0.0))
    offered = []
    original = passes.refine
    monkeypatch.setattr(passes, "refine", lambda *a, **k: offered.append(k["finer"]) or original(*a, **k))
    model = smooth_model(voxels=0.3, kind=kind)
    space = Space("LIA", spacing=2.0, multiple=4)
    model = replace(model, card=replace(model.card, space=space))
    registrar = Registrar(model, Settings(align="none", initial_transform=through, refine=9))
    results = [
        registrar.register(fixed, moving),
        registrar.register(picture_on(Grid.of(fixed), (1.0, 0.0, 0.0)), moving),
    ]
    for result, finer in zip(results, offered):
        grid = result.network_grid
        assert grid.spacing == (2.0, 2.0, 2.0)
        images = finer()
        twice = tuple(2 * n - 1 for n in grid.shape)
        assert tuple(images.fixed.shape[2:]) == twice
        assert tuple(images.moving.shape[2:]) == (Grid.of(moving).shape if on_its_own_grid else twice)
        pull = Pull(torch.zeros((1, 3, *grid.shape)), images.to_moving, tuple(images.moving.shape[2:]))
        position = pull(torch.zeros((1, 3, *grid.shape)))
        seen = sampling.sample_normalised(images.moving, position, "border")[0, 0].numpy()
        oracle = sitk.Resample(moving, grid.empty_image(), result.alignment, sitk.sitkLinear, 0.0)
        covered = sitk.Resample(moving * 0 + 1, grid.empty_image(), result.alignment, sitk.sitkLinear, 0.0)
        inside = sitk.GetArrayFromImage(covered) > 0.999
        assert np.corrcoef(sitk.GetArrayFromImage(oracle)[inside], seen[inside])[0, 1] > 0.9999
    assert len(offered) == 2
    coarse = picture_on(centred_grid((22, 20, 18), (2.0, 2.0, 2.0), STRAIGHT))
    registrar.register(coarse, moving)
    assert offered[-1] is None


def test_a_moving_image_of_many_more_voxels_than_the_finer_grid_is_sampled_there_first(monkeypatch):
    monkeypatch.setattr(prepared, "_MORE_VOXELS", 0.5)
    fixed = picture_on(centred_grid((24, 24, 24), (2.0, 2.0, 2.0), STRAIGHT))
    pair = FinerPair(
        *(NormalisedImage.of(image, NONE) for image in (fixed, picture_on(Grid.of(fixed)))),
        centred_grid((12, 12, 12), (4.0, 4.0, 4.0), STRAIGHT),
        centred_grid((23, 23, 23), (2.0, 2.0, 2.0), STRAIGHT),
        None,
        torch.device("cpu"),
    )
    images = pair.images()
    assert images.moving.shape == images.fixed.shape
    np.testing.assert_allclose(images.to_moving, np.diag([2.0, 2.0, 2.0, 1.0]), atol=1e-9)
    torch.testing.assert_close(images.moving, images.fixed)
