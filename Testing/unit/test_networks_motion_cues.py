"""Motion cues: the displacement two images show before anything is learned, whatever their contrast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift

from VoxelMorphRegistrationLib.networks.motion_cues import motion_cues


def textured(shape: tuple[int, ...]) -> np.ndarray:
    image = gaussian_filter(np.random.default_rng(0).normal(size=shape), 2.0)
    return image / image.std()


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None, None]


@pytest.mark.parametrize("motion", [(0.6, -0.4), (0.5, 0.3, -0.7)])
@pytest.mark.parametrize("contrast", [1.0, -0.5])
def test_a_small_shift_is_seen_in_its_direction_and_most_of_its_size_even_with_the_contrast_turned_round(
    motion, contrast
):
    moving = textured((32,) * len(motion))
    fixed = contrast * shift(moving, [-step for step in motion], order=3, mode="nearest") + 2.0
    cues = motion_cues(tensor(fixed), tensor(moving), window=9)
    inside = cues[(0, slice(None), *(slice(6, -6) for _ in motion))].flatten(1)
    seen = inside[:-1].median(dim=1).values.numpy()
    # Damping and an imperfect fit of the contrast make it too small, by up to a third; the passes to come make that up.
    size = np.linalg.norm(motion)
    assert 0.6 * size < np.linalg.norm(seen) <= size
    assert seen @ np.array(motion) > 0.98 * np.linalg.norm(seen) * size
    assert inside[-1].median() > 0.8


def test_images_that_have_nothing_to_do_with_each_other_have_no_confidence():
    other = gaussian_filter(np.random.default_rng(1).normal(size=(24, 24, 24)), 2.0)
    cues = motion_cues(tensor(textured((24, 24, 24))), tensor(other), window=9)
    assert cues[0, -1].median() < 0.5


def test_flat_images_show_no_motion_and_nothing_that_is_not_a_number():
    cues = motion_cues(torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16), window=5)
    assert torch.isfinite(cues).all()
    assert cues.abs().max() < 1e-3


def test_a_motion_is_never_larger_than_half_the_window():
    cues = motion_cues(tensor(textured((20, 20, 20))), 5 * tensor(textured((20, 20, 20)).T), window=5)
    assert cues[:, :3].abs().max() <= 2.5
