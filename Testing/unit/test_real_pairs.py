"""Pairs that were really taken, where the folder beside this checkout has them: what once went wrong stays mended."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.benchmarks.accuracy import case_real
from Testing.benchmarks.accuracy.cases import Case
from Testing.benchmarks.accuracy.scores import score
from VoxelMorphRegistrationLib.registration.registrar import register
from VoxelMorphRegistrationLib.registration.result import Registration

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pairs() -> dict[str, Case]:
    return {case.name: case for case in case_real.pairs()}


def registered(pairs: dict[str, Case], name: str, **settings) -> tuple[Registration, float]:
    """The registration, and the mean Dice of its structures."""
    if name not in pairs:
        pytest.skip(f"{name}: not in ../shared/data")
    case = pairs[name]
    fixed, moving = (sitk.ReadImage(path) for path in (case.fixed, case.moving))
    found = register(fixed, moving, align=case.align, **settings)
    dice = [value for key, value in score(case, found.displacement).items() if key.startswith("dice ")]
    return found, float(np.mean(dice))


def test_a_hippocampus_that_refinement_once_tore_apart_stays_whole(pairs):
    """.536 of Dice and mutual information below that before it, by 'auto'; displacements of 28 mm in a volume of 50."""
    plain, before = registered(pairs, "hippocampus 004 from 006")
    refined, after = registered(pairs, "hippocampus 004 from 006", refine="auto")
    assert after > 0.78 and after > before - 0.005
    assert refined.similarity["after"] > 0.99 * plain.similarity["after"] > refined.similarity["before"]
    assert np.linalg.norm(sitk.GetArrayFromImage(refined.displacement), axis=-1).max() < 15


def test_a_heart_whose_motion_the_network_does_not_see_is_started_at_another_spacing_too(pairs):
    """Its rough flow is below 1.5 voxels at 2 mm across the slices, where no start was looked for: .51 of Dice."""
    found, dice = registered(pairs, "heart 105", network_spacing=(2.0, 2.96, 2.96))
    assert found.report()["start"] != "network" and dice > 0.8
