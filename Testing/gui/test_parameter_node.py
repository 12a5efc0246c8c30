"""Parameters in the scene and in widgets: the same on our stand-in and on Slicer's own files (`make gui-test`)."""

import enum
import pathlib
from typing import Annotated

import pytest
import slicer


class Start(enum.Enum):
    RIGID = "rigid"
    AFFINE = "affine"

    def label(self):
        return self.value.capitalize()


@pytest.fixture
def Parameters(host):
    from slicer import vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
    from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        fixed: vtkMRMLScalarVolumeNode
        labels: vtkMRMLSegmentationNode | vtkMRMLLabelMapVolumeNode | None
        frames: list[int]
        margin: Annotated[float, WithinRange(0, 100)] = 15.0
        start: Start = Start.AFFINE
        folder: pathlib.Path
        device: Annotated[str, Choice(["auto", "cpu"]), Default("cpu")]
        accepted: bool = True

    return Parameters


def _node():
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "choices")


def test_a_parameter_has_its_default_until_it_is_set(Parameters):
    given = Parameters(_node())
    assert (given.fixed, given.margin, given.start, given.device) == (None, 15.0, Start.AFFINE, "cpu")
    assert given.accepted is True and given.folder == pathlib.Path() and list(given.frames) == []


def test_parameters_are_back_after_the_scene_was_saved_and_loaded(Parameters, tmp_path):
    given = Parameters(_node())
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "liver")
    given.fixed, given.frames, given.start, given.margin = volume, [3, 1], Start.RIGID, 2
    given.folder = pathlib.Path("/runs/a")
    path = str(tmp_path / "scene.mrml")
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    slicer.mrmlScene.Commit(path)
    slicer.mrmlScene.Clear(0)
    slicer.mrmlScene.SetURL(path)
    slicer.mrmlScene.Connect()
    loaded = Parameters(slicer.mrmlScene.GetFirstNodeByName("choices"))
    assert loaded.fixed.GetName() == "liver" and list(loaded.frames) == [3, 1]
    assert (loaded.start, loaded.margin, loaded.folder) == (Start.RIGID, 2.0, pathlib.Path("/runs/a"))


def test_a_value_out_of_range_or_of_another_type_is_refused(Parameters):
    given = Parameters(_node())
    with pytest.raises(ValueError):
        given.margin = 101.0
    with pytest.raises(TypeError):
        given.margin = "wide"
    with pytest.raises(TypeError):
        given.fixed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    with pytest.raises(ValueError):
        given.device = "gpu"
    assert given.margin == 15.0 and given.fixed is None and given.device == "cpu"


def test_a_union_of_nodes_without_none_cannot_be_made(host):
    from slicer import vtkMRMLLabelMapVolumeNode, vtkMRMLSegmentationNode
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class WithoutNone:
        labels: vtkMRMLSegmentationNode | vtkMRMLLabelMapVolumeNode

    with pytest.raises(TypeError):
        WithoutNone(_node())


def test_widgets_and_parameters_follow_each_other(host, Parameters):
    import ctk
    import qt

    given = Parameters(_node())
    margin, start, device, accepted = qt.QDoubleSpinBox(), qt.QComboBox(), qt.QComboBox(), qt.QCheckBox()
    folder, fixed = ctk.ctkPathLineEdit(), slicer.qMRMLNodeComboBox()
    fixed.noneEnabled = True
    fixed.setMRMLScene(slicer.mrmlScene)
    shown = dict(margin=margin, start=start, device=device, accepted=accepted, folder=folder, fixed=fixed)
    tag = given.connectParametersToGui(shown)
    assert (margin.value, margin.maximum, start.currentText, device.currentText) == (15.0, 100.0, "Affine", "cpu")
    margin.value, start.currentIndex, folder.currentPath = 3.5, 0, "/runs/b"
    accepted.checked = False
    assert (given.margin, given.start, given.folder) == (3.5, Start.RIGID, pathlib.Path("/runs/b"))
    assert given.accepted is False
    given.fixed = volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert fixed.currentNode() is volume
    fixed.setCurrentNode(None)
    assert given.fixed is None
    given.disconnectGui(tag)
    margin.value = 7
    assert given.margin == 3.5


def test_a_combo_box_of_an_abstract_class_of_nodes_is_refused(host):
    from slicer import vtkMRMLMarkupsNode
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    @parameterNodeWrapper
    class AnyMarkups:
        points: vtkMRMLMarkupsNode

    with pytest.raises(TypeError):
        AnyMarkups(_node()).connectParametersToGui({"points": slicer.qMRMLNodeComboBox()})


def test_a_widget_that_slicer_cannot_connect_is_refused(host, Parameters):
    import qt

    with pytest.raises(Exception):  # noqa: B017 - Slicer raises a bare Exception here.
        Parameters(_node()).connectParametersToGui({"margin": qt.QLineEdit()})
