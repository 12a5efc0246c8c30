"""The examples in the docstrings of propagation run as they stand."""

from __future__ import annotations

import doctest

import pytest

from VoxelMorphRegistrationLib.propagation import propagate, settings


@pytest.mark.parametrize(("module", "examples"), [(propagate, 1), (settings, 1)])
def test_the_examples_in_the_docstrings_give_what_they_say(module, examples):
    found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert len(found) == examples
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    for test in found:
        told: list[str] = []
        assert runner.run(test, out=told.append).failed == 0, "".join(told)
