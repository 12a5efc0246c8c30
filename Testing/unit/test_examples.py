"""The examples in docstrings run as they stand."""

from __future__ import annotations

import doctest

import pytest

from VoxelMorphRegistrationLib.annotations import points, segmentation
from VoxelMorphRegistrationLib.exchange import conventions
from VoxelMorphRegistrationLib.registration import alignment, presets, registrar, settings
from VoxelMorphRegistrationLib.space import affine, displacement, grid, inverse

#: Each module and how many of its docstrings have an example.
EXAMPLES = [
    (affine, 2),
    (grid, 1),
    (displacement, 2),
    (inverse, 1),
    (points, 1),
    (segmentation, 3),
    (conventions, 2),
    (registrar, 2),
    (settings, 2),
    (presets, 1),
    (alignment, 1),
]


@pytest.mark.parametrize(("module", "examples"), EXAMPLES)
def test_the_examples_in_the_docstrings_give_what_they_say(module, examples):
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert len(found) == examples
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    for test in found:
        told: list[str] = []
        assert runner.run(test, out=told.append).failed == 0, "".join(told)
