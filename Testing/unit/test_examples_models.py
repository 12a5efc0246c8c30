"""The examples in the docstrings of networks and models."""

from __future__ import annotations

import doctest
import importlib

import pytest

pytest.importorskip("voxelmorph")


@pytest.mark.parametrize(
    "module", ["models.loading", "networks.build", "network_space.space", "network_space.intensity"]
)
def test_the_examples_give_what_they_say(module):
    results = doctest.testmod(importlib.import_module(f"VoxelMorphRegistrationLib.{module}"))
    assert results.attempted > 0
    assert results.failed == 0
