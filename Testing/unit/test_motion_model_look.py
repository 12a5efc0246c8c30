"""A coarse look: the motion it sees is in mm."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter, shift

from VoxelMorphRegistrationLib import Registrar, Settings
from VoxelMorphRegistrationLib.propagation.motion_model_look import CoarseLook

SPACING = 2.0


@pytest.mark.parametrize(("size", "seen"), [((104, 64, 64), (13, 8, 8)), ((80, 64, 48), (10, 8, 6))])
@pytest.mark.parametrize("axis", [0, 2])
def test_a_look_tells_a_shift_in_millimetres(size, seen, axis):
    texture = gaussian_filter(np.random.default_rng(3).normal(size=size[::-1]), 4)
    texture = 500 + 100 * texture / texture.std()
    by = np.zeros(3)
    by[axis] = 3.0  # voxels
    reference, frame = (_image(array) for array in (texture, shift(texture, by[::-1], order=1, mode="nearest")))
    look = CoarseLook(Registrar("any-anatomy-fast", Settings(align="none")), reference)
    assert look.grid.size == seen
    found = look.at(frame)[tuple(slice(n // 4, -(n // 4)) for n in reversed(seen))].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(found, -SPACING * by, atol=0.9)


def _image(array: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing([SPACING] * 3)
    return image
