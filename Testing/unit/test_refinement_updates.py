"""How a number of updates is shared out among the parts of a scheme."""

from __future__ import annotations

import pytest

from VoxelMorphRegistrationLib.refinement.schemes import ONE_CONTRAST, OTHER_CONTRAST
from VoxelMorphRegistrationLib.refinement.settings import RefinementSettings
from VoxelMorphRegistrationLib.refinement.updates import Updates


def shared(total, scheme=ONE_CONTRAST, with_finer=True):
    updates = Updates(scheme, RefinementSettings(updates=total), with_finer)
    return [updates.of_fit(number) for number in range(len(scheme.fits))], [level.updates for level in updates.levels]


@pytest.mark.parametrize("scheme", [ONE_CONTRAST, OTHER_CONTRAST])
@pytest.mark.parametrize("total", [1, 7, 15, 40, 100, 1000])
def test_of_a_fixed_number_of_updates_none_is_lost(total, scheme):
    fits, levels = shared(total, scheme, with_finer=False)
    assert sum(fits) + sum(levels) == total
    assert len(levels) == len(scheme.levels) and min(levels) >= 0


def test_the_fits_come_first_and_the_finest_levels_get_fewest():
    most = [level.updates for level in ONE_CONTRAST.fits]
    assert shared(5) == ([5, 0], [0, 0, 0, 0])
    fits, levels = shared(100)
    assert fits == most and levels[0] >= levels[1] > levels[2] > levels[3] > 0


def test_each_part_may_take_all_of_its_updates_where_it_ends_by_itself():
    fits, levels = shared("auto")
    assert fits == [level.updates for level in ONE_CONTRAST.fits]
    assert levels == [level.updates for level in (*ONE_CONTRAST.levels[:-1], *ONE_CONTRAST.finer)]
    assert shared("auto", with_finer=False)[1] == [level.updates for level in ONE_CONTRAST.levels]
