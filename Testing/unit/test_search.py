"""The global search for a start: motion of many voxels is found, and what is too thin is not searched."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift

from VoxelMorphRegistrationLib.flow.integration import integrate, resize_flow
from VoxelMorphRegistrationLib.refinement import starts
from VoxelMorphRegistrationLib.refinement.contrast import CoarseComparison
from VoxelMorphRegistrationLib.refinement.matching import matched_displacement
from VoxelMorphRegistrationLib.refinement.pair import ImagePair
from VoxelMorphRegistrationLib.refinement.refine import refine
from VoxelMorphRegistrationLib.refinement.search import search
from VoxelMorphRegistrationLib.refinement.settings import RefinementSettings
from VoxelMorphRegistrationLib.refinement.starts import better_start

FAR = (6.0, -9.0, 4.0)  # voxels


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]


@pytest.fixture(scope="module")
def far_apart() -> ImagePair:
    """A textured body, and the same moved by more than any window is wide."""
    texture = gaussian_filter(np.random.default_rng(3).normal(size=(64, 64, 64)), 2.5)
    axes = np.meshgrid(*[np.linspace(-1, 1, 64)] * 3, indexing="ij")
    body = 1.0 / (1.0 + np.exp((sum(a**2 for a in axes) - 0.45) * 20))
    fixed = body * (1 + 2 * texture / texture.std() * 0.2)
    return ImagePair(tensor(fixed), tensor(shift(fixed, FAR, order=1)))


def test_a_motion_of_many_voxels_is_found_inside_the_body(far_apart):
    displacement = search(far_apart)[0, :, 24:40, 24:40, 24:40]
    error = (displacement - torch.tensor(FAR).view(3, 1, 1, 1)).norm(dim=0)
    assert float(error.mean()) < 1.5


def test_what_the_search_found_is_told_from_no_motion_by_the_similarity(far_apart):
    found = search(far_apart)
    comparison = CoarseComparison(far_apart)
    assert comparison.lncc(found) > comparison.lncc() + 0.1


def test_two_dimensions_and_few_slices_are_not_searched():
    assert search(ImagePair(torch.rand(1, 1, 40, 40), torch.rand(1, 1, 40, 40))) is None
    assert search(ImagePair(torch.rand(1, 1, 8, 40, 40), torch.rand(1, 1, 8, 40, 40))) is None


def test_features_displaced_by_whole_cells_are_matched_cell_by_cell():
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 6, 14, 14, 14)).astype(np.float32))
    found = matched_displacement(features, torch.roll(features, (2, -1, 0), (2, 3, 4)), (3, 3, 3))
    inner = found[0, :, 5:9, 5:9, 5:9]
    assert float((inner - torch.tensor([2.0, -1.0, 0.0]).view(3, 1, 1, 1)).abs().max()) < 0.2


def test_refinement_after_a_displacement_is_judged_together_with_it(far_apart):
    before = torch.tensor(FAR).view(1, 3, 1, 1, 1).expand(1, 3, 64, 64, 64) * 0.8
    result = refine(far_apart, RefinementSettings(updates=30, similarity="lncc"), before=before)
    assert result.accepted and result.similarity_after > result.similarity_before
    moved = result.displacement[0, :, 24:40, 24:40, 24:40].mean((1, 2, 3))
    assert torch.allclose(moved, 0.2 * torch.tensor(FAR), atol=0.6)


def constant(displacement: tuple[float, float, float], shape: tuple[int, ...]) -> torch.Tensor:
    return torch.tensor(displacement).view(1, 3, 1, 1, 1).expand(1, 3, *shape).contiguous()


def test_a_network_that_stopped_on_the_way_is_started_again_from_what_is_found(far_apart):
    rough = 0.4 * constant(FAR, far_apart.shape)
    comparison = CoarseComparison(far_apart)
    start = better_start(far_apart, rough, comparison)
    found = resize_flow(integrate(start.velocity, 6, "border"), far_apart.shape)
    assert start.gain > 0.1
    assert comparison.lncc(found) == pytest.approx(comparison.lncc(rough) + start.gain, abs=0.02)
    error = (found[0, :, 24:40, 24:40, 24:40] - torch.tensor(FAR).view(3, 1, 1, 1)).norm(dim=0)
    assert float(error.mean()) < 1.0


def test_what_a_network_brought_home_already_gets_no_other_start(far_apart):
    assert better_start(far_apart, constant(FAR, far_apart.shape), CoarseComparison(far_apart)) is None


def test_a_network_that_finds_next_to_nothing_of_a_large_motion_gets_another_start(far_apart):
    """How far it goes says nothing where the pair is unlike."""
    start = better_start(far_apart, constant((0.5, -1.0, 0.0), far_apart.shape), CoarseComparison(far_apart))
    assert start is not None and start.gain > 0.1


def test_a_pair_that_lies_on_each_other_is_not_searched(far_apart, monkeypatch):
    monkeypatch.setattr(starts, "coarse_lncc", lambda images: pytest.fail("searched"))
    near = ImagePair(far_apart.fixed, torch.roll(far_apart.fixed, 1, 2))
    rough = constant((1.0, 0.0, 0.0), near.shape)
    assert better_start(near, rough, CoarseComparison(near)) is None


@pytest.mark.parametrize(("times", "name"), [(1.2, "coarse LNCC"), (2.0, "discrete search")])
def test_of_a_pair_as_unlike_as_two_people_a_search_has_to_gain_clearly_more(far_apart, monkeypatch, times, name):
    gains = {"coarse": 0.1, "searched": 0.1 * times}
    monkeypatch.setattr(starts, "coarse_lncc", lambda images: constant((1.0, 0.0, 0.0), images.shape))
    monkeypatch.setattr(starts, "search", lambda images: constant((2.0, 0.0, 0.0), images.shape))
    monkeypatch.setattr(starts, "followed", lambda images, before: before)

    class Told(CoarseComparison):
        def denoised_lncc(self, displacement=None):
            return 0.6

        def lncc(self, displacement=None, weight=None):
            return {0: 0.3, 1: 0.3 + gains["coarse"], 2: 0.3 + gains["searched"]}[
                round(float(displacement[0, 0].max()))
            ]

        def distance(self, displacement):
            return 1.0 / float(displacement[0, 0].max())  # features always call for what was searched

    start = better_start(far_apart, constant((0.0, 3.0, 0.0), far_apart.shape), Told(far_apart))
    assert start.found_by == name


def test_a_search_leaves_pytorchs_compiler_alone_whose_import_takes_seconds():
    script = (
        "import sys, torch\n"
        "from VoxelMorphRegistrationLib.refinement.pair import ImagePair\n"
        "from VoxelMorphRegistrationLib.refinement.search import search\n"
        "images = [torch.rand(1, 1, 20, 20, 20) for _ in range(2)]\n"
        "assert search(ImagePair(*images)) is not None\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
