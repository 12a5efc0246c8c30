"""Refinement of a velocity: known displacements made by SimpleITK are found again, as its settings say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from Testing.support.refined_pairs import (
    SHAPE,
    bump,
    known_pair,
    mean_error,
    pulled,
    refine,
    tensor,
    texture,
    whole_after,
)
from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.flow import integration
from VoxelMorphRegistrationLib.refinement.contrast import choose_similarity
from VoxelMorphRegistrationLib.refinement.pair import ImagePair

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pair():
    return known_pair()


def test_a_known_displacement_is_found_from_nothing(pair):
    fixed, moving, truth = pair
    result = refine(fixed, moving)
    assert result.accepted and result.similarity_after > result.similarity_before
    assert (
        mean_error(result.displacement, truth) < 0.35 < 1.0 < mean_error(torch.zeros_like(result.displacement), truth)
    )
    assert result.folded_after == 0


def test_the_displacement_is_the_velocities_exponentials_one_after_the_other(pair):
    fixed, moving, _ = pair
    result = refine(fixed, moving, updates=8, padding="zeros", squarings=5)
    whole = torch.zeros_like(result.displacement)
    for velocity in result.velocities:
        change = integration.resize_flow(integration.integrate(velocity, 5, "zeros"), tuple(whole.shape[2:]))
        whole = integration.compose_flows(whole, change, "border")
    torch.testing.assert_close(result.displacement, whole, atol=1e-4, rtol=0)
    assert result.updates == 8


def test_two_dimensional_images_are_refined_too():
    moving, truth = texture((60, 64), 3), bump((60, 64))
    result = refine(tensor(pulled(moving, truth)), tensor(moving))
    assert mean_error(result.displacement, truth) < 0.5


def test_images_of_another_contrast_are_brought_together_by_mind(pair):
    fixed, moving, truth = pair
    other = torch.sin(3 * np.pi * fixed) + 0.02 * torch.randn(fixed.shape, generator=torch.Generator().manual_seed(0))
    result = refine(other, moving, similarity="mind")
    assert result.similarity_after > result.similarity_before
    assert (
        mean_error(result.displacement, truth)
        < 0.6 * np.linalg.norm(truth, axis=0)[np.linalg.norm(truth, axis=0) > 0.5].mean()
    )


def test_the_similarity_is_chosen_by_the_contrast_of_the_pair(pair):
    fixed, moving, _ = pair
    assert choose_similarity(ImagePair(fixed, moving)) == "lncc"
    assert choose_similarity(ImagePair(0.2 + 0.5 * fixed**0.7, moving)) == "lncc"
    assert choose_similarity(ImagePair(1 - fixed, moving)) == "mind"
    assert refine(1 - fixed, moving, updates=2).similarity == "mind"


def test_a_start_close_to_the_truth_is_bettered_and_kept_near(pair):
    fixed, moving, truth = pair
    before = torch.from_numpy(truth * 0.8)[None]
    result = refine(fixed, moving, before, updates=20)
    assert mean_error(whole_after(before, result), truth) < mean_error(before, truth)


def test_the_same_input_gives_the_same_answer(pair):
    fixed, moving, _ = pair
    one, other = (refine(fixed, moving, updates=6).displacement for _ in range(2))
    assert torch.equal(one, other)


def test_progress_counts_the_steps_and_may_stop_them(pair):
    fixed, moving, _ = pair
    seen = []
    refine(fixed, moving, updates=7, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 7) for n in range(1, 8)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refine(fixed, moving, updates=7, progress=stop)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"before": torch.zeros(1, 3, 4, 4, 4)}, "displacement of shape"),
        ({"mask": torch.zeros(1, 1, 4, 4, 4)}, "mask of shape"),
        ({"mask": torch.zeros(1, 1, *SHAPE)}, "mask is empty"),
        ({"updates": -1}, "updates is -1"),
        ({"similarity": "ssd"}, "choose one of auto, lncc, mind"),
    ],
)
def test_a_wrong_argument_is_named(pair, change, words):
    with pytest.raises(InputError, match=words):
        refine(pair[0], pair[1], **change)
