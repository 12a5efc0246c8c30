"""Index values that lie closer together than Slicer's own tolerance stay values of their own."""

from __future__ import annotations

import pytest

slicer = pytest.importorskip("slicer")

from VoxelMorphRegistrationLib.mrml.sequences import sequence_like, tell_apart  # noqa: E402


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def _sequence(scene, values, tolerance=None):
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "volumes")
    if tolerance is not None:
        sequence.SetNumericIndexValueTolerance(tolerance)
    for value in values:
        sequence.SetDataNodeAtValue(slicer.vtkMRMLScalarVolumeNode(), value)
    return sequence


def test_a_sequence_made_for_another_keeps_all_of_its_frames(scene):
    values = [f"{0.0004 * index:.4f}" for index in range(10)]
    volumes = _sequence(scene, values, tolerance=1e-5)
    output = sequence_like(volumes, "labels")
    for value in values:
        output.SetDataNodeAtValue(slicer.vtkMRMLScalarVolumeNode(), value)
    assert output.GetNumberOfDataNodes() == volumes.GetNumberOfDataNodes() == 10


def test_a_sequence_that_is_loaded_tells_its_values_apart(scene):
    values = [f"{0.0004 * index:.4f}" for index in range(10)]
    assert _sequence(scene, values).GetNumberOfDataNodes() < 10
    sequence = _sequence(scene, [])
    tell_apart(sequence, values)
    for value in values:
        sequence.SetDataNodeAtValue(slicer.vtkMRMLScalarVolumeNode(), value)
    assert [sequence.GetNthIndexValue(number) for number in range(10)] == values


def test_a_wide_sequence_keeps_its_tolerance(scene):
    sequence = _sequence(scene, [])
    tell_apart(sequence, ["0", "33.3", "66.6"])
    assert sequence.GetNumericIndexValueTolerance() == 0.001
    tell_apart(sequence, ["rest", "inhale"])
    assert sequence.GetNumericIndexValueTolerance() == 0.001
