"""A moving image that shows a part of the fixed one: right where both are, the alignment elsewhere, and said."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from VoxelMorphRegistrationLib import Registrar, Settings


@pytest.fixture(scope="module")
def whole() -> sitk.Image:
    values = gaussian_filter(np.random.default_rng(4).normal(size=(56, 60, 64)), 2.5)
    return sitk.GetImageFromArray((values / values.std() * 100 + 500).astype(np.float32))


def _lengths(registration, box) -> np.ndarray:
    return np.linalg.norm(sitk.GetArrayFromImage(registration.displacement), axis=-1)[box]


@pytest.mark.parametrize("refine", [0, 30])
def test_a_part_of_the_same_image_stays_where_it_is(whole, refine):
    part = whole[:32, :, :]
    registration = Registrar("any-anatomy-fast", Settings(align="none", refine=refine)).register(whole, part)
    assert _lengths(registration, np.s_[:, :, :31]).mean() < 0.1
    assert _lengths(registration, np.s_[:, :, :31]).max() < 1.0
    assert _lengths(registration, np.s_[:, :, 48:]).max() < 1e-3
    assert any("covers 50% of the fixed image" in note for note in registration.notes)


def test_an_image_that_covers_nearly_all_is_not_remarked_on(whole):
    registration = Registrar("any-anatomy-fast", Settings(align="none")).register(whole, whole[:50, :, :])
    assert not any("covers" in note for note in registration.notes)
    assert _lengths(registration, np.s_[:, :, :49]).mean() < 0.1
