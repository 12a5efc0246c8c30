"""Modes, frames apart, key frames and combinations, from looks alone."""

from __future__ import annotations

import numpy as np
import pytest

from VoxelMorphRegistrationLib.propagation.motion_model_fit import (
    UNLIKE,
    choose_keys,
    combination,
    find_modes,
)


def looks_of(coefficients: np.ndarray, voxels: int = 60, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """Looks (n, voxels, 3) of smooth modes with these coefficients (n, m) and noise, mm."""
    draw = np.random.default_rng(seed)
    along = np.linspace(0, 1, voxels)
    waves = [np.sin((m + 2) * 3 * along + k) for m in range(coefficients.shape[1]) for k in range(3)]
    modes = np.reshape(waves, (coefficients.shape[1], 3, voxels))
    return np.einsum("nm,mdv->nvd", coefficients, modes) + draw.normal(0, noise, (len(coefficients), voxels, 3))


@pytest.mark.parametrize("seed", range(5))
def test_frames_apart_in_all_or_in_one_place_are_found_and_no_others(seed):
    draw = np.random.default_rng(seed)
    looks = looks_of(draw.normal(0, (8, 3, 1), (120, 3)), seed=seed)
    looks[20] += (4, -3, 0)  # shifted
    looks[60, 30:34] += (0, 1.5, 0)  # bulges in one place
    looks[90] = draw.normal(0, 3, looks[90].shape)  # nothing of the kind
    modes, apart = find_modes(looks.astype(np.float16))
    assert set(np.flatnonzero(apart > UNLIKE)) == {20, 60, 90}
    assert modes.explained.sum() > 0.98 and len(modes.explained) <= 6


def test_equal_frames_are_not_apart():
    _, apart = find_modes(np.zeros((30, 10, 3), np.float16))
    assert (apart <= UNLIKE).all()


def test_key_frames_are_the_farthest_ones_first():
    coefficients = np.array([[0.1], [5.0], [-4.0], [2.0], [1.0], [-2.0]])
    looks = looks_of(coefficients, noise=0)
    assert choose_keys(looks, np.arange(6), 3)[:2] == [1, 2]
    assert choose_keys(looks, np.array([0, 2, 3, 4]), 2) == [2, 3]


def test_key_frames_end_when_a_further_one_explains_nothing_more():
    draw = np.random.default_rng(1)
    for modes, most in ((1, 8), (4, 16)):
        looks = looks_of(draw.normal(0, 5, (200, modes)), noise=0.05)
        keys = choose_keys(looks, np.arange(200))
        assert modes < len(keys) <= most and len(set(keys)) == len(keys)


def test_key_frames_end_when_what_they_leave_is_little_enough():
    looks = looks_of(np.random.default_rng(1).normal(0, 5, (200, 6)), noise=0.05)
    candidates = np.arange(200)
    few, many = (len(choose_keys(looks, candidates, enough=mm)) for mm in (50.0, 0.0))
    assert few == 4 < many <= 24
    assert len(choose_keys(looks[:40], np.arange(40))) <= 5


def test_a_combination_of_key_frames_is_what_made_the_look():
    looks = looks_of(np.array([[5.0, 0.0], [0.0, 5.0], [5.0, 5.0], [2.0, 1.0]]), noise=0)
    weights = combination(looks[:3], looks[3])
    assert np.abs(np.einsum("k,kvd->vd", weights, looks[:3]) - looks[3]).max() < 0.1
    assert np.abs(combination(looks[:3], np.zeros_like(looks[0]))).max() == 0
