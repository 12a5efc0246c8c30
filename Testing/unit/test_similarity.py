"""Similarities against scipy, numpy's correlation and neurite's NCC."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, uniform_filter, zoom

from VoxelMorphRegistrationLib.flow import slabs as slabs_module
from VoxelMorphRegistrationLib.flow.filters import (
    apply_separable,
    box_matrices,
    gaussian_matrices,
    resize_matrices,
    resized,
)
from VoxelMorphRegistrationLib.flow.similarity import (
    LocalCorrelation,
    lncc,
    mind_ssc,
    mse,
    ncc,
    standardised,
)
from VoxelMorphRegistrationLib.refinement.levels import _shrinking, shrink

SHAPES = [(17, 22), (12, 15, 14)]


def _image(shape, seed=0, sigma=1.0):
    values = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma).astype(np.float32)
    return torch.from_numpy(values)[None, None]


@pytest.mark.parametrize("shape", SHAPES)
def test_box_sums_are_those_of_scipy(shape):
    image = _image(shape)
    ours = apply_separable(image, box_matrices(shape, 5))
    theirs = uniform_filter(image[0, 0].double().numpy(), 5, mode="constant") * 5 ** len(shape)
    np.testing.assert_allclose(ours[0, 0].numpy(), theirs, atol=1e-4)


def test_box_sums_with_a_stride_are_the_centred_ones_among_all():
    image = _image((13, 16, 9))
    every = apply_separable(image, box_matrices((13, 16, 9), 5))
    second = apply_separable(image, box_matrices((13, 16, 9), 5, stride=2))
    torch.testing.assert_close(second, every[:, :, ::2, ::2, ::2][:, :, : second.shape[2]], rtol=1e-4, atol=1e-4)


def test_smoothing_inside_the_image_is_scipys_gaussian():
    image = np.zeros((31, 33), np.float32)
    image[14:17, 12:20] = 1
    ours = apply_separable(torch.from_numpy(image)[None, None], gaussian_matrices(image.shape, 1.5))
    np.testing.assert_allclose(ours[0, 0].numpy(), gaussian_filter(image, 1.5, truncate=8), atol=1e-5)


def test_no_weight_of_a_gaussian_is_a_denormal_number_which_processors_multiply_slowly():
    for matrix in (*gaussian_matrices((300, 64), 1.1), *gaussian_matrices((64,), 0.4), _shrinking(128, 64, 0.9)):
        weights = matrix[matrix != 0]
        assert float(weights.abs().min()) > np.finfo(np.float32).tiny * 1e6
        np.testing.assert_allclose(matrix.sum(1).numpy(), 1.0, atol=1e-6)


def test_an_image_is_shrunk_as_if_smoothed_and_then_resampled():
    image = _image((30, 24, 28))
    smoothed = apply_separable(image, gaussian_matrices((30, 24, 28), 0.45 * 2.0))
    expected = apply_separable(smoothed, resize_matrices((30, 24, 28), (15, 12, 14)))
    np.testing.assert_allclose(shrink(image, (15, 12, 14)), expected, atol=1e-6)


def test_resampling_shares_the_corner_voxels_as_scipys_linear_zoom():
    image = _image((9, 14))
    ours = apply_separable(image, resize_matrices((9, 14), (17, 7)))
    np.testing.assert_allclose(ours[0, 0].numpy(), zoom(image[0, 0].numpy(), (17 / 9, 7 / 14), order=1), atol=1e-5)


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("old, new", [((9, 14), (17, 7)), ((6, 11, 8), (13, 11, 5)), ((7, 6, 5), (7, 12, 1))])
def test_resized_values_are_those_of_pytorchs_interpolation(old, new, corners):
    values = torch.randn(2, 3, *old, generator=torch.Generator().manual_seed(4))
    mode = "bilinear" if len(old) == 2 else "trilinear"
    expected = F.interpolate(values.double(), size=new, mode=mode, align_corners=corners).float()
    if corners and 1 in new:  # PyTorch takes the first voxel then, and here the middle is meant.
        expected = F.interpolate(values, size=new[:-1] + (3,), mode=mode, align_corners=True)[..., 1:2]
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(resized(values, new, corners), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_lncc_in_whole_windows_is_the_squared_correlation_of_the_window(shape):
    a, b = _image(shape, 1), _image(shape, 2) + 0.5 * _image(shape, 1)
    local = LocalCorrelation(a, window=5, floor=0.0).local(b)[0, 0].numpy()
    centre = tuple(n // 2 for n in shape)
    window = tuple(slice(c - 2, c + 3) for c in centre)
    expected = np.corrcoef(a[0, 0][window].flatten(), b[0, 0][window].flatten())[0, 1] ** 2
    assert local[centre] == pytest.approx(expected, abs=1e-3)


def test_lncc_is_one_for_a_linear_change_of_intensity_and_small_for_other_noise():
    a = _image((14, 14, 14), 3)
    assert lncc(a, 40 - 7 * a).item() > 0.99
    assert lncc(a, _image((14, 14, 14), 4)).item() < 0.2


def test_lncc_ranks_as_neurites_ncc():
    neurite = pytest.importorskip("neurite")
    a = _image((16, 16, 16), 5)
    noisy = [a + level * _image((16, 16, 16), 6) for level in (0.1, 0.5, 2.0)]
    theirs = [float(neurite.nn.modules.NCC(window_size=5)(a, b)) for b in noisy]
    ours = [lncc(a, b, window=5).item() for b in noisy]
    np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_lncc_does_not_depend_on_a_large_offset():
    a, b = _image((12, 12, 12), 7), _image((12, 12, 12), 8) + _image((12, 12, 12), 7)
    torch.testing.assert_close(lncc(a * 50 - 1000, b * 50 - 1000), lncc(a, b), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_lncc_is_that_of_finite_differences(shape):
    a, b = _image(shape, 9), _image(shape, 10) + _image(shape, 9)
    similarity = LocalCorrelation(a, window=5, stride=2)
    b.requires_grad_(True)
    (gradient,) = torch.autograd.grad(similarity(b), b)
    direction = _image(shape, 11)
    step = 1e-2
    with torch.no_grad():
        slope = (similarity(b + step * direction) - similarity(b - step * direction)) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=0.02, abs=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_slope_written_out_is_the_one_autograd_finds_however_small_the_slabs(shape, masked, monkeypatch):
    mask = (_image(shape, 12) > -0.05).float() if masked else None
    a, b = _image(shape, 9), standardised(_image(shape, 10) + _image(shape, 9), mask)
    moving = b.clone().requires_grad_(True)
    value = LocalCorrelation(a, window=5, mask=mask, stride=2)(moving)
    (expected,) = torch.autograd.grad(value, moving)
    for values in (10, 10**6):
        monkeypatch.setattr(slabs_module, "_VALUES", values)
        found, slope = LocalCorrelation(a, window=5, mask=mask, stride=2).with_slope(b)
        assert found == pytest.approx(value.item(), rel=1e-4)
        torch.testing.assert_close(slope, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("shape", [(40, 44), (30, 40, 36)])
def test_empty_surroundings_are_not_looked_at_and_change_nothing(shape, monkeypatch):
    monkeypatch.setattr(slabs_module, "_VALUES", 3 * int(np.prod(shape)) // 8)
    away = np.stack(np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij"))
    ball = torch.from_numpy((np.linalg.norm(away, axis=0) < 9).astype(np.float32))[None, None]
    a, b = ball * (2 + _image(shape, 1)), ball * (2 + _image(shape, 2) + _image(shape, 1))
    similarity = LocalCorrelation(a, window=5, stride=2)
    seen = torch.zeros(shape)
    for box in similarity.boxes:
        seen[box] = 1
    assert 0.05 < seen.mean() < 0.6
    b = standardised(b)
    moving = b.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(similarity(moving), moving)
    value, slope = similarity.with_slope(torch.where(seen > 0, b, 7.0))
    assert value == pytest.approx(similarity(b).item(), rel=1e-3)
    torch.testing.assert_close(slope, expected, rtol=1e-3, atol=2e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("shape", SHAPES)
def test_slab_by_slab_the_matrices_do_what_they_do_at_once(shape, monkeypatch):
    monkeypatch.setattr(slabs_module, "_VALUES", 100)
    image = torch.cat([_image(shape, 1), _image(shape, 2)], dim=1)
    active = torch.zeros(shape, dtype=torch.bool)
    active[4:9, 3:7] = True
    matrices = resize_matrices(shape, tuple(n // 2 + 1 for n in shape))
    for boxes in (slabs_module.slabs(shape, 2), slabs_module.slabs_around(active, 2)):
        kept = torch.zeros_like(image)
        for box in boxes:
            slabs_module.inside(kept, box).copy_(slabs_module.inside(image, box))
        assert len(boxes) > 3 and bool((kept != 0)[..., active].all())
        at_once = apply_separable(kept, matrices)
        torch.testing.assert_close(slabs_module.gathered(partial(slabs_module.inside, image), boxes, matrices), at_once)
    back = [matrix.t() for matrix in matrices]
    whole = apply_separable(at_once, back)
    for box, found in slabs_module.spread(at_once, boxes, back):
        torch.testing.assert_close(found, slabs_module.inside(whole, box))
    assert slabs_module.slabs_around(torch.zeros(shape, dtype=torch.bool)) == []


@pytest.mark.parametrize("value", [0.0, 1000.0])
def test_constant_images_give_no_similarity_and_finite_gradients(value):
    constant = torch.full((1, 1, 10, 10, 10), value)
    moving = _image((10, 10, 10), 12).requires_grad_(True)
    for score in (lncc(constant, moving), ncc(constant, moving)):
        assert abs(score.item()) < 1e-3
        (gradient,) = torch.autograd.grad(score, moving)
        assert torch.isfinite(gradient).all()
    flat = constant.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(
        lncc(moving.detach(), flat) + mse(mind_ssc(moving.detach()), mind_ssc(flat)), flat
    )
    assert torch.isfinite(gradient).all()


def test_what_lies_outside_the_mask_changes_nothing():
    a, b = _image((12, 13, 14), 13), _image((12, 13, 14), 14)
    mask = torch.zeros_like(a)
    mask[..., 3:9, 4:10, 2:11] = 1
    other = torch.where(mask > 0, b, 5 + 3 * _image((12, 13, 14), 15))
    for measure in (mse, ncc, lncc):
        torch.testing.assert_close(measure(a, b, mask=mask), measure(a, other, mask=mask), rtol=1e-4, atol=1e-5)
    assert lncc(a, b, mask=mask).item() != pytest.approx(lncc(a, b).item(), abs=1e-4)


def test_ncc_is_numpys_correlation_coefficient():
    a, b = _image((20, 21), 16), _image((20, 21), 17)
    assert ncc(a, b).item() == pytest.approx(np.corrcoef(a.flatten(), b.flatten())[0, 1], abs=1e-4)


@pytest.mark.parametrize(("shape", "channels"), [((17, 22), 4), ((12, 15, 14), 12)])
def test_mind_ssc_does_not_see_contrast_but_structure(shape, channels):
    image = _image(shape, 18, sigma=1.5)
    features = mind_ssc(image)
    assert features.shape == (1, channels, *shape)
    torch.testing.assert_close(mind_ssc(3 - 2 * image), features, rtol=1e-3, atol=1e-3)
    shifted = torch.roll(image, 3, dims=2)
    assert mse(features, mind_ssc(shifted)) > 20 * mse(features, mind_ssc(3 - 2 * image)) + 1e-3


def test_mind_ssc_is_its_published_formula():
    shape = (11, 12, 13)
    image = _image(shape, 19)
    values = image[0, 0].double().numpy()
    steps = [(-2, 0, 0), (2, 0, 0), (0, -2, 0), (0, 2, 0), (0, 0, -2), (0, 0, 2)]
    distances = []
    for i in range(6):
        for j in range(i + 1, 6):
            if i // 2 == j // 2:
                continue
            one = np.roll(values, tuple(-s for s in steps[i]), (0, 1, 2))
            two = np.roll(values, tuple(-s for s in steps[j]), (0, 1, 2))
            distances.append(uniform_filter((one - two) ** 2, 3))
    distances = np.stack(distances) - np.min(distances, axis=0)
    expected = np.exp(-distances / distances.mean(axis=0))
    inside = (slice(None), slice(3, -3), slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(mind_ssc(image)[0].numpy()[inside], expected[inside], atol=5e-3)
