"""A pair through the whole way: acceptance of every transform handed out, held against SimpleITK and voxelmorph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from VoxelMorphRegistrationLib.card import Card
from VoxelMorphRegistrationLib.displacement_files import read_displacement, write_displacement
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.grid import Grid
from VoxelMorphRegistrationLib.models import Model
from VoxelMorphRegistrationLib.networks import Flow, build_network
from VoxelMorphRegistrationLib.registration import Registrar, Settings, register, resolve_device

TURNED = tuple(Rotation.from_euler("xyz", [17, -11, 25], degrees=True).as_matrix().ravel())
MIRRORED = tuple((Rotation.from_euler("xyz", [17, -11, 25], degrees=True).as_matrix() * [1, 1, -1]).ravel())
STRAIGHT = tuple(np.eye(3).ravel())
FLAT = tuple(np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]).ravel())


def _centred(size, spacing, direction, centre=(5.0, -12.0, 30.0)):
    dimension = len(size)
    axes = np.reshape(direction, (dimension, dimension)) * spacing
    origin = np.asarray(centre[:dimension]) - axes @ ((np.asarray(size) - 1) / 2)
    return Grid(tuple(size), tuple(spacing), tuple(origin), tuple(direction))


GEOMETRIES = {
    "straight": (_centred((48, 32, 32), (1.0, 1.0, 1.0), STRAIGHT), _centred((48, 32, 32), (1.0, 1.0, 1.0), STRAIGHT)),
    "oblique, anisotropic, not multiples of 16": (
        _centred((37, 41, 21), (1.2, 0.9, 2.4), TURNED),
        _centred((37, 41, 21), (1.2, 0.9, 2.4), TURNED),
    ),
    "left-handed": (
        _centred((33, 30, 27), (1.5, 1.5, 1.7), MIRRORED),
        _centred((33, 30, 27), (1.5, 1.5, 1.7), MIRRORED),
    ),
    "different grids": (
        _centred((37, 41, 21), (1.2, 0.9, 2.4), TURNED),
        _centred((44, 30, 39), (1.3, 1.9, 1.4), STRAIGHT, (6.0, -11.0, 31.0)),
    ),
    "two dimensions": (_centred((50, 43), (1.1, 1.6), FLAT), _centred((61, 47), (1.0, 1.5), (1.0, 0.0, 0.0, -1.0))),
}


def _picture(grid, shift=(0.0, 0.0, 0.0), pixel=sitk.sitkFloat32):
    """A smooth picture in space, so that the same anatomy can be seen on any grid; values 0..1000."""
    points = (grid.points() - shift[: grid.dimension]) @ np.full((grid.dimension, grid.dimension), 0.03)
    points = points + (grid.points() - shift[: grid.dimension]) * 0.17
    value = np.prod(np.sin(points), axis=-1) + 0.5 * np.cos(points.sum(-1) * 1.3)
    distance = np.linalg.norm(grid.points() - np.asarray((5.0, -12.0, 30.0))[: grid.dimension], axis=-1)
    array = (value + 2.0) * 250.0 / (1.0 + np.exp((distance - 18.0) / 2.0))
    return sitk.Cast(grid.image(array.astype(np.float32)), pixel)


def _model(dimension=3, reach=3.0, **space):
    """A VxmPairwise of random weights whose last layer is scaled until it moves voxels by about `reach`."""
    torch.manual_seed(3)
    architecture = {"class": "VxmPairwise", "ndim": dimension, "features": [8, 8, 8], "integration_steps": 5}
    network = build_network(architecture)
    shape = (32,) * dimension
    axes = torch.meshgrid(*[torch.linspace(0, 6, n) for n in shape], indexing="ij")
    picture = torch.stack([torch.sin(axis) for axis in axes]).prod(0)[None, None] * 0.5 + 0.5
    with torch.no_grad():
        largest = network.flow(picture, picture.flip(2)).field.abs().max()
        for name, parameter in network.module.named_parameters():
            if name.startswith("flow_layer") and name.endswith("weight"):
                parameter *= reach / largest
    space = {"tensor_axes": "SPL"[3 - dimension:], "spacing": "native", "extent": None, "multiple": 8, **space}
    return Model(Card("random", architecture, space=space), network, "0" * 64, Path("random.pt"))


class _SmoothNetwork(torch.nn.Module):
    """A known smooth displacement, whatever the images: what a trained network gives, without one."""

    dimension, multiple, extent = 3, 1, None

    def __init__(self, voxels=2.0, wave=26.0, kind="displacement"):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.voxels, self.wave, self.kind = voxels, wave, kind

    def flow(self, fixed, moving):
        axes = torch.meshgrid(*[torch.arange(n) * (2 * np.pi / self.wave) for n in fixed.shape[2:]], indexing="ij")
        field = torch.stack([torch.sin(axes[1] + 1), torch.cos(axes[2]), torch.sin(axes[0])])[None] * self.voxels
        return Flow(field.float(), self.kind, 1, "border", 7)


def _smooth_model(**options):
    space = {"tensor_axes": "LIA", "spacing": "native", "extent": None, "multiple": 1}
    return Model(Card("smooth", {"class": "none"}, space=space), _SmoothNetwork(**options), "", Path("none"))


def _read(folder, name):
    return sitk.ReadImage(str(folder / name))


def _inside(grid, points, margin):
    flat = np.asarray(points).reshape(-1, grid.dimension)
    return grid.contains(flat, -margin).reshape(points.shape[:-1])


@pytest.mark.parametrize("align", ["none", "affine"])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_the_moving_image_the_network_saw_warps_through_our_file_as_the_network_warped_it(tmp_path, case, align):
    fixed_grid, moving_grid = GEOMETRIES[case]
    fixed, moving = _picture(fixed_grid), _picture(moving_grid, (2.0, -1.0, 1.5))
    result = register(fixed, moving, _model(fixed_grid.dimension), align=align, dump_network_inputs=tmp_path)
    write_displacement(result.displacement, tmp_path / "t.nrrd")
    seen, warped = _read(tmp_path, "moving.nrrd"), _read(tmp_path, "warped.nrrd")
    grid = Grid.of(seen)
    total = sitk.DisplacementFieldTransform(sitk.Cast(_read(tmp_path, "t.nrrd"), sitk.sitkVectorFloat64))
    through = sitk.Transform(total)
    if align != "none":
        back = sitk.ReadTransform(str(tmp_path / "alignment.tfm")).GetInverse()
        through = sitk.CompositeTransform([back, total])
    ours = sitk.Resample(seen, seen, through, sitk.sitkLinear, 0.0)
    # An ITK field is the identity outside its own grid, the fixed image's, and every tool has its own way at borders.
    points = grid.points()
    moved = points + sitk.GetArrayFromImage(_read(tmp_path, "displacement.nrrd"))
    compared = _inside(fixed_grid, points, 0.0) & _inside(grid, moved, 1.0)
    difference = np.abs(sitk.GetArrayFromImage(ours) - sitk.GetArrayFromImage(warped))[compared]
    assert compared.mean() > 0.1
    assert np.abs(sitk.GetArrayFromImage(_read(tmp_path, "displacement.nrrd"))).max() > 1.0
    assert difference.max() < 1e-4


def test_the_network_s_own_class_warps_the_dumped_moving_image_the_same(tmp_path):
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    model = _model()
    register(_picture(fixed_grid), _picture(moving_grid, (2, -1, 1)), model, align="none", dump_network_inputs=tmp_path)
    fixed, moving, warped = (
        torch.from_numpy(sitk.GetArrayFromImage(_read(tmp_path, f"{name}.nrrd")))[None, None]
        for name in ("fixed", "moving", "warped")
    )
    with torch.no_grad():
        own = model.network.module(moving, fixed, return_warped_source=True)
    own = own[1] if isinstance(own, (tuple, list)) and own[1].shape == warped.shape else own[0]
    assert torch.abs(own - warped).max() < 1e-4


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha", ".h5"])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_every_kind_of_file_warps_the_original_images_alike(tmp_path, case, suffix):
    fixed_grid, moving_grid = GEOMETRIES[case]
    fixed, moving = _picture(fixed_grid), _picture(moving_grid, (2.0, -1.0, 1.5))
    result = register(fixed, moving, _model(fixed_grid.dimension), align="none")
    path = tmp_path / f"t{suffix}"
    write_displacement(result.displacement, path)
    if suffix == ".h5":
        transform = sitk.ReadTransform(str(path))
    else:
        field = sitk.ReadImage(str(path))
        transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    assert Grid.of(read_displacement(path)).same_as(fixed_grid)
    outside = float(sitk.GetArrayFromImage(moving).min())
    resampled = sitk.Resample(moving, fixed, transform, sitk.sitkLinear, outside)
    difference = np.abs(sitk.GetArrayFromImage(resampled) - sitk.GetArrayFromImage(result.warped))
    # Half-way positions on the moving image's rim may fall either way in single precision.
    assert np.quantile(difference, 0.999) < 1e-4 * 1000


@pytest.mark.parametrize("spacing", [1.0, 1.6, 2.0])
def test_a_change_of_grid_spacing_costs_at_most_a_twentieth_of_a_voxel(spacing):
    fixed_grid, moving_grid = GEOMETRIES["oblique, anisotropic, not multiples of 16"]
    model = _smooth_model(wave=50.0 / spacing)
    registrar = Registrar(model, Settings(align="none", network_spacing=spacing))
    result = registrar.register(_picture(fixed_grid), _picture(moving_grid))
    network = result.network_grid
    exact = model.network.flow(torch.zeros(1, 1, *network.shape), None).field[0].numpy()
    points, vectors = network.points(), np.moveaxis(exact[::-1], 0, -1) @ network.axes.T
    inside = _inside(fixed_grid, points, 0.0)
    transform = result.transform()
    ours = np.asarray([transform.TransformPoint(p) for p in points[inside].tolist()]) - points[inside]
    in_voxels = (ours - vectors[inside]) / spacing
    assert np.abs(vectors).max() > 1.5
    assert np.linalg.norm(in_voxels, axis=-1).max() < 0.05


@pytest.mark.parametrize("align", ["none", "rigid"])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_the_displacement_lies_on_exactly_the_fixed_grid_and_the_inverse_on_the_moving_one(case, align):
    fixed_grid, moving_grid = GEOMETRIES[case]
    fixed, moving = _picture(fixed_grid), _picture(moving_grid, (2.0, -1.0, 1.5))
    result = register(fixed, moving, _model(fixed_grid.dimension, reach=1.0), align=align)
    assert Grid.of(result.displacement) == Grid.of(fixed)
    assert Grid.of(result.warped) == Grid.of(fixed)
    assert Grid.of(result.inverse_displacement) == Grid.of(moving)
    assert result.displacement.GetPixelID() == sitk.sitkVectorFloat32
    assert result.inverse_residual is None


@pytest.mark.parametrize("kind", ["velocity", "displacement"])
def test_forward_and_inverse_undo_each_other_with_the_alignment_in_them(kind):
    fixed_grid, moving_grid = GEOMETRIES["different grids"]
    initial = sitk.AffineTransform(3)
    initial.SetMatrix((1.05, 0.06, 0.0, -0.05, 0.97, 0.03, 0.02, 0.0, 1.0))
    initial.SetTranslation((1.0, 2.0, -1.0))
    settings = Settings(align="none", initial_transform=initial)
    model = _smooth_model(voxels=1.0, wave=40.0, kind=kind)
    result = Registrar(model, settings).register(_picture(fixed_grid), _picture(moving_grid))
    assert (result.inverse_residual is None) == (kind == "velocity")
    forward = result.transform()
    backward = sitk.DisplacementFieldTransform(sitk.Cast(result.inverse_displacement, sitk.sitkVectorFloat64))
    points = fixed_grid.points().reshape(-1, 3)[::7]
    there = np.asarray([forward.TransformPoint(p) for p in points.tolist()])
    well_inside = moving_grid.contains(there, -1.0) & fixed_grid.contains(points, -4.0)
    back = np.asarray([backward.TransformPoint(p) for p in there[well_inside].tolist()])
    assert well_inside.sum() > 100
    assert np.linalg.norm(back - points[well_inside], axis=1).max() < 0.1


def test_a_model_of_several_passes_is_the_composition_of_them():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    fixed, moving = _picture(fixed_grid), _picture(moving_grid, (2.0, -1.0, 1.5))
    twice = _smooth_model(voxels=1.0, kind="velocity")
    twice.card.architecture["passes"] = 2
    result = register(fixed, moving, twice, align="none")
    once = register(fixed, moving, _smooth_model(voxels=1.0, kind="velocity"), align="none").transform()
    composed = sitk.TransformToDisplacementField(
        sitk.CompositeTransform([once, sitk.Transform(once)]), sitk.sitkVectorFloat64,
        fixed.GetSize(), fixed.GetOrigin(), fixed.GetSpacing(), fixed.GetDirection(),
    )  # fmt: skip
    middle = (slice(4, -4),) * 3
    difference = sitk.GetArrayFromImage(composed) - sitk.GetArrayFromImage(result.displacement)
    assert np.abs(difference[middle]).max() < 0.02
    points = fixed_grid.points()[8:-8:3, 8:-8:3, 8:-8:3].reshape(-1, 3)
    backward = sitk.DisplacementFieldTransform(sitk.Cast(result.inverse_displacement, sitk.sitkVectorFloat64))
    there = [result.transform().TransformPoint(p) for p in points.tolist()]
    back = np.asarray([backward.TransformPoint(p) for p in there])
    assert np.linalg.norm(back - points, axis=1).max() < 0.1


def test_storage_order_of_either_image_changes_nothing():
    fixed_grid, moving_grid = GEOMETRIES["different grids"]
    fixed, moving = _picture(fixed_grid), _picture(moving_grid, (2.0, -1.0, 1.5))
    registrar = Registrar(_model(tensor_axes="LIA"), Settings(align="rigid"))
    first = registrar.register(fixed, moving)
    stored = sitk.Flip(sitk.PermuteAxes(fixed, [2, 0, 1]), [True, False, True])
    other = sitk.Flip(sitk.PermuteAxes(moving, [1, 2, 0]), [False, True, True])
    second = registrar.register(stored, other)
    back = sitk.Resample(second.warped, first.warped, sitk.Transform(), sitk.sitkLinear)
    assert first.network_grid.same_as(second.network_grid)
    assert np.abs(sitk.GetArrayFromImage(back) - sitk.GetArrayFromImage(first.warped)).max() < 1.0  # of 1000


def test_labels_keep_their_type_and_values_and_match_simpleitk():
    fixed_grid, moving_grid = GEOMETRIES["different grids"]
    fixed, moving = _picture(fixed_grid), _picture(moving_grid, (2.0, -1.0, 1.5))
    labels = sitk.Cast(moving > 500, sitk.sitkUInt16) * 4000 + sitk.Cast(moving > 700, sitk.sitkUInt16)
    result = register(fixed, moving, _model(), align="rigid")
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
    result = register(_picture(fixed_grid), _picture(moving_grid), _model(), align="none")
    coarse = _picture(_centred((20, 20, 20), (2.5, 2.5, 2.5), TURNED)) > 500
    assert sitk.GetArrayFromImage(result.warp_labels(coarse)).any()
    coarse.SetOrigin((900.0, 0.0, 0.0))
    with pytest.raises(InputError, match="does not lie on its image"):
        result.warp_labels(coarse)
    with pytest.raises(InputError, match="whole numbers"):
        result.warp_labels(_picture(moving_grid) * 0.37)


def test_the_warped_volume_keeps_its_pixel_type_and_has_air_where_the_moving_image_ends():
    fixed_grid, _ = GEOMETRIES["straight"]
    moving = _picture(_centred((20, 20, 20), (1.0, 1.0, 1.0), STRAIGHT), pixel=sitk.sitkInt16) - 1000
    result = register(_picture(fixed_grid), moving, _smooth_model(), align="none")
    warped = sitk.GetArrayFromImage(result.warped)
    assert result.warped.GetPixelID() == sitk.sitkInt16
    assert warped[0, 0, 0] == sitk.GetArrayFromImage(moving).min()


def test_the_report_has_the_keys_tools_rely_on():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    result = register(_picture(fixed_grid), _picture(moving_grid, (2, -1, 1)), _model(), align="rigid")
    report = result.report()
    keys = {"version", "model", "device", "alignment", "network_grid", "similarity", "folded_percent", "seconds"}
    assert keys <= set(report)
    assert set(report["model"]) == {"name", "sha256"}
    assert set(report["network_grid"]) == {"size", "spacing"}
    assert set(report["similarity"]) == {"metric", "before", "after"}
    assert set(report["seconds"]) == {"total", "read", "align", "network", "integrate", "refine", "warp", "write"}
    assert report["seconds"]["network"] > 0
    stages = sum(seconds for stage, seconds in report["seconds"].items() if stage != "total")
    assert report["seconds"]["total"] >= stages - 1e-3


def test_similarity_is_numpy_s_correlation_of_what_the_network_saw_and_made(tmp_path):
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    result = register(_picture(fixed_grid), _picture(moving_grid, (2, -1, 1)), _model(), align="none",
                      dump_network_inputs=tmp_path)
    similarity = result.similarity
    for name, key in (("moving.nrrd", "before"), ("warped.nrrd", "after")):
        a, b = (sitk.GetArrayFromImage(_read(tmp_path, n)).ravel() for n in ("fixed.nrrd", name))
        assert similarity["metric"] == "ncc"
        assert abs(np.corrcoef(a, b)[0, 1] - similarity[key]) < 2e-3


def test_a_moving_image_that_stays_is_prepared_once_and_gives_the_same_as_alone(monkeypatch):
    from VoxelMorphRegistrationLib import registration

    fixed_grid, _ = GEOMETRIES["straight"]
    moving = _picture(fixed_grid, (1.0, 0.0, 0.0))
    frames = [_picture(fixed_grid, (0.0, step, 0.0)) for step in (0.0, 1.0, 2.0)]
    prepared = []
    original = registration.NormalisedImage.of
    monkeypatch.setattr(registration.NormalisedImage, "of", lambda *a: prepared.append(a[-1]) or original(*a))
    model = _model()
    registrar = Registrar(model, Settings(align="none"))
    together = [registrar.register(frame, moving) for frame in frames]
    assert prepared.count("moving image") == 1
    for frame, result in zip(frames, together):
        alone = register(frame, moving, model, align="none")
        assert np.array_equal(sitk.GetArrayFromImage(alone.displacement), sitk.GetArrayFromImage(result.displacement))


def test_an_image_registered_to_itself_by_a_network_that_finds_nothing_to_do_stays_as_it_is():
    grid = GEOMETRIES["left-handed"][0]
    image = _picture(grid)
    result = register(image, image, _smooth_model(voxels=0.0), align="none")
    assert not sitk.GetArrayFromImage(result.displacement).any()
    assert np.array_equal(sitk.GetArrayFromImage(result.warped), sitk.GetArrayFromImage(image))


def test_voxels_that_are_not_numbers_are_replaced_and_reported():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    array = sitk.GetArrayFromImage(_picture(fixed_grid))
    array[3:5, 4, 4] = np.nan
    result = register(fixed_grid.image(array), _picture(moving_grid), _model(), align="rigid")
    assert np.isfinite(sitk.GetArrayFromImage(result.displacement)).all()
    assert any("fixed image: 2 voxels" in note for note in result.notes)


def test_images_that_nothing_can_be_done_with_are_refused_in_one_line():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    fixed, moving, model = _picture(fixed_grid), _picture(moving_grid), _model()
    far = _picture(moving_grid)
    far.SetOrigin((500.0, 0.0, 0.0))
    flat = _picture(GEOMETRIES["two dimensions"][0])
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
    far = _picture(moving_grid)
    far.SetOrigin(tuple(np.asarray(far.GetOrigin()) + (500.0, -20.0, 7.0)))
    result = register(_picture(fixed_grid), far, _smooth_model(voxels=0.0), align="centers")
    moved = np.asarray(result.alignment.TransformPoint((0.0, 0.0, 0.0)))
    assert np.allclose(moved, (500.0, -20.0, 7.0), atol=0.1)


def test_a_mask_with_nothing_on_the_fixed_image_is_refused_and_another_restricts_the_similarity():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    fixed, moving, model = _picture(fixed_grid), _picture(moving_grid, (2, 0, 0)), _model()
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
    for wrong in ({"align": "elastic"}, {"refine": -1}, {"refine": "much"}, {"label_interpolation": "cubic"}):
        with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
            Settings(**wrong)
    with pytest.raises(InputError, match="nowhere.tfm"):
        Registrar(_model(), Settings(initial_transform="nowhere.tfm"))


def test_an_initial_transform_that_is_not_linear_is_contained_in_the_result():
    fixed_grid, moving_grid = GEOMETRIES["straight"]
    fixed, moving = _picture(fixed_grid), _picture(moving_grid)
    bend = sitk.BSplineTransformInitializer(fixed, [3, 3, 3])
    bend.SetParameters(np.random.default_rng(0).normal(0, 1.5, len(bend.GetParameters())).tolist())
    result = register(fixed, moving, _smooth_model(voxels=0.0), align="none", initial_transform=bend)
    points = fixed_grid.points()[4:-4:5, 4:-4:5, 4:-4:5].reshape(-1, 3)
    ours = np.asarray([result.transform().TransformPoint(p) for p in points.tolist()])
    exact = np.asarray([bend.TransformPoint(p) for p in points.tolist()])
    assert np.abs(exact - points).max() > 0.5
    assert np.abs(ours - exact).max() < 1e-3
    assert result.inverse_residual is not None


@pytest.mark.parametrize("kind", ["velocity", "displacement"])
def test_refinement_raises_the_similarity_and_keeps_the_inverse(kind):
    grid = GEOMETRIES["straight"][0]
    fixed, moving = _picture(grid), _picture(grid, (2.0, -1.5, 1.0))
    model = _smooth_model(voxels=0.3, kind=kind)
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


@pytest.mark.parametrize("kind", ["velocity", "displacement"])
def test_refinement_is_offered_the_images_at_half_the_network_s_spacing_through_the_alignment(kind, monkeypatch):
    from VoxelMorphRegistrationLib import refinement

    fixed = _picture(_centred((44, 40, 36), (1.0, 1.0, 1.0), STRAIGHT))
    moving = _picture(_centred((40, 46, 38), (1.0, 1.0, 1.0), STRAIGHT, (7.0, -12.0, 30.0)), (2.0, 0.0, 0.0))
    offered = []
    original = refinement.refine
    monkeypatch.setattr(refinement, "refine", lambda *a, **k: offered.append(k["finer"]) or original(*a, **k))
    model = _smooth_model(voxels=0.3, kind=kind)
    space = {"tensor_axes": "LIA", "spacing": 2.0, "extent": None, "multiple": 4}
    model = replace(model, card=replace(model.card, space=space))
    through = sitk.TranslationTransform(3, (1.5, 0.0, 0.5))
    registrar = Registrar(model, Settings(align="none", initial_transform=through, refine=9))
    results = [registrar.register(fixed, moving), registrar.register(_picture(Grid.of(fixed), (1.0, 0.0, 0.0)), moving)]
    for result, finer in zip(results, offered):
        grid = result.network_grid
        assert grid.spacing == (2.0, 2.0, 2.0)
        ours, its = (image[0, 0].numpy() for image in finer())
        assert ours.shape == its.shape == tuple(2 * n - 1 for n in grid.shape)
        finest = sitk.GetImageFromArray(its)
        finest.SetSpacing((1.0, 1.0, 1.0))
        finest.SetOrigin(grid.origin)
        finest.SetDirection(grid.direction)
        oracle = sitk.Resample(moving, finest, result.alignment, sitk.sitkLinear, 0.0)
        agreement = np.corrcoef(sitk.GetArrayFromImage(oracle).ravel(), its.ravel())[0, 1]
        # After a network of displacements, the image is offered as warped by them.
        assert agreement > 0.9999 if kind == "velocity" else 0.95 < agreement < 0.9999
    assert len(offered) == 2
    coarse = _picture(_centred((22, 20, 18), (2.0, 2.0, 2.0), STRAIGHT))
    registrar.register(coarse, moving)
    assert offered[-1] is None
