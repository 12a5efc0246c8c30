"""Slicer's application around a module: other modules, views, scenes, and its end."""

import sys

import numpy as np
import slicer
import slicer.util


def _volume(name):
    return slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name=name)


def test_a_new_node_is_in_the_subject_hierarchy_and_a_hidden_one_is_not(host):
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    hidden = slicer.vtkMRMLScalarVolumeNode()
    hidden.SetHideFromEditors(True)
    slicer.mrmlScene.AddNode(hidden)
    seen = _volume("seen")
    item = tree.GetItemByDataNode(seen)
    assert item and not tree.GetItemByDataNode(hidden)
    slicer.mrmlScene.RemoveNode(seen)
    assert not tree.GetItemName(item)


def test_the_segment_editor_opens_on_a_segmentation_and_its_volume(host):
    segmentation, volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "liver"), _volume("frame")
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    assert (editor.segmentationNode(), editor.sourceVolumeNode()) == (segmentation, volume)
    assert slicer.util.selectedModule() == "SegmentEditor"


def test_a_node_is_sent_to_its_module(host):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    slicer.app.openNodeModule(transform)
    assert slicer.util.selectedModule() == "Transforms"


def test_slices_show_a_volume_and_a_plot_tells_of_a_click(host):
    volume = _volume("shown")
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    red = slicer.app.layoutManager().sliceWidget("Red")
    assert red.mrmlSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    slicer.modules.plots.logic().ShowChartInLayout(chart)
    view = slicer.app.layoutManager().plotWidget(0)
    assert view.mrmlPlotViewNode().GetPlotChartNodeID() == chart.GetID()
    clicked = []

    def selected(names, selections):
        clicked.append((names.GetValue(0), selections.GetItemAsObject(0).GetValue(0)))

    view.plotView().connect("dataSelected(vtkStringArray*,vtkCollection*)", selected)
    host.click_plot(series, 7)
    assert clicked == [(series.GetID(), 7)]


def test_a_saved_scene_comes_back_after_the_application_was_quit(host, tmp_path):
    _volume("kept")
    host.save_scene(tmp_path / "scene.mrb")
    host.quit()
    assert slicer.mrmlScene.GetFirstNodeByName("kept") is None
    host.load_scene(tmp_path / "scene.mrb")
    assert slicer.util.arrayFromVolume(slicer.util.getNode("kept")).shape == (3, 4, 5)


def test_volumes_segmentations_and_points_are_loaded_and_saved_as_in_the_console(host, tmp_path):
    volume = _volume("saved")
    assert slicer.util.saveNode(volume, str(tmp_path / "v.nrrd"))
    assert slicer.util.loadVolume(str(tmp_path / "v.nrrd"), {"name": "again"}).GetName() == "again"
    assert slicer.util.loadLabelVolume(tmp_path / "v.nrrd").IsA("vtkMRMLLabelMapVolumeNode")
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.AddControlPoint(1.0, 2.0, 3.0)
    assert slicer.util.exportNode(points, str(tmp_path / "p.mrk.json"))
    assert slicer.util.loadMarkups(str(tmp_path / "p.mrk.json")).GetNumberOfControlPoints() == 1
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    assert slicer.util.saveNode(transform, str(tmp_path / "t.h5"))
    assert slicer.util.loadTransform(str(tmp_path / "t.h5")).IsLinear()


def test_a_combo_box_follows_the_scene_and_makes_nodes_under_its_base_name(host):
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes, box.showChildNodeTypes, box.baseName = ["vtkMRMLScalarVolumeNode"], False, "warped"
    box.setMRMLScene(slicer.mrmlScene)
    first = _volume("first")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert box.nodeCount() == 1 and box.currentNode() is None
    assert box.addNode().GetName() == "warped" and box.currentNode().GetName() == "warped"
    slicer.mrmlScene.RemoveNode(box.currentNode())
    assert box.currentNode() is first
    box.noneEnabled = True
    slicer.mrmlScene.Clear(0)
    assert box.currentNode() is None and box.nodeCount() == 0


def test_a_process_of_the_window_is_read_without_waiting_and_ends_with_its_input(host):
    import qt

    lines, process = [], qt.QProcess()

    def read():
        while process.canReadLine():
            lines.append(bytes(process.readLine().data()).decode().strip())

    process.connect("readyReadStandardOutput()", read)
    code = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)\nprint('bye', flush=True)"
    process.start(sys.executable, ["-c", code])
    assert process.waitForStarted(5000)
    process.write(b"one\n")
    with host.tick_gaps() as gaps:
        host.wait_until(lambda: lines == ["ONE"], 10)
    assert gaps.largest < 0.2
    process.closeWriteChannel()
    host.wait_until(lambda: process.state() == qt.QProcess.NotRunning, 10)
    assert lines[-1] == "bye" and process.exitCode() == 0
