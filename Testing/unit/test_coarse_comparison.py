"""How similar a pair is does not depend on what a grid was padded with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, shift

from VoxelMorphRegistrationLib.flow.integration import integrate, resize_flow
from VoxelMorphRegistrationLib.refinement.contrast import CoarseComparison
from VoxelMorphRegistrationLib.refinement.pair import ImagePair
from VoxelMorphRegistrationLib.refinement.starts import better_start

PADDED = (3, 2, 0, 4, 1, 1)  # planes before and behind, of the last axis first
SHIFT = (7.0, 0.0, -4.0)  # voxels, through the cuts


@pytest.fixture(scope="module")
def slab() -> ImagePair:
    """Tissue that fills its images to their edges, and moved through them."""
    texture = gaussian_filter(np.random.default_rng(8).normal(size=(64, 48, 60)), 2.0)
    texture = 0.5 + 0.15 * texture / texture.std()
    fixed, moving = (image[10:-10, :, 8:-8] for image in (texture, shift(texture, SHIFT, order=1)))
    return ImagePair(*(torch.from_numpy(image.astype(np.float32).copy())[None, None] for image in (fixed, moving)))


@pytest.fixture(scope="module")
def padded(slab) -> ImagePair:
    return ImagePair(F.pad(slab.fixed, PADDED), F.pad(slab.moving, PADDED))


def test_a_pair_is_as_similar_on_a_padded_grid_as_without_the_padding(slab, padded):
    whole = _constant(SHIFT, slab)
    for share in (0.0, 0.5, 1.0):
        alone, together = CoarseComparison(slab), CoarseComparison(padded)
        near, far = share * whole, share * _constant(SHIFT, padded)
        for measure in ("lncc", "denoised_lncc", "distance"):
            assert getattr(together, measure)(far) == pytest.approx(getattr(alone, measure)(near), abs=1e-6)
        torch.testing.assert_close(padded.field_of_view.cut(together.unlike(far)), alone.unlike(near))
        weight = alone.unlike(0.5 * whole)
        assert together.lncc(far, F.pad(weight, PADDED)) == pytest.approx(alone.lncc(near, weight), abs=1e-6)


def test_a_start_is_found_as_if_nothing_had_been_padded(slab, padded):
    starts = [better_start(pair, 0.3 * _constant(SHIFT, pair), CoarseComparison(pair)) for pair in (slab, padded)]
    alone, together = (
        resize_flow(integrate(start.velocity, 6, "border"), pair.shape) for start, pair in zip(starts, (slab, padded))
    )
    assert starts[1].gain == pytest.approx(starts[0].gain, abs=1e-5)
    inner = (slice(None), slice(None), *(slice(8, -8) for _ in slab.shape))
    error = (padded.field_of_view.cut(together) - alone)[inner].norm(dim=1)
    assert float(error.mean()) < 0.1
    assert float((alone - _constant(SHIFT, slab))[inner].norm(dim=1).mean()) < 0.5


def _constant(displacement: tuple[float, float, float], pair: ImagePair) -> torch.Tensor:
    return torch.tensor(displacement).view(1, 3, 1, 1, 1).expand(1, 3, *pair.shape).contiguous()
