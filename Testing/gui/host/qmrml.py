"""Slicer's small MRML widgets; the lists of nodes are qmrml_lists'."""

from __future__ import annotations

from PySide6 import QtWidgets
from PySide6.QtCore import Signal

from Testing.gui.host import ctk
from Testing.gui.host.ctk_buttons import widget
from Testing.gui.host.qmrml_lists import (
    qMRMLCheckableNodeComboBox,
    qMRMLNodeComboBox,
    qMRMLSubjectHierarchyComboBox,
    qMRMLSubjectHierarchyTreeView,
)
from Testing.gui.host.values import Value

__all__ = [
    "qMRMLCheckableNodeComboBox",
    "qMRMLNodeComboBox",
    "qMRMLRangeWidget",
    "qMRMLSegmentationShow3DButton",
    "qMRMLSegmentsTableView",
    "qMRMLSliderWidget",
    "qMRMLSpinBox",
    "qMRMLSubjectHierarchyComboBox",
    "qMRMLSubjectHierarchyTreeView",
    "qMRMLTableView",
    "qMRMLWidget",
    "qSlicerWidget",
]


class _InScene:
    """A widget that is told of the scene by a slot and tells it on by a signal."""

    def setMRMLScene(self, scene):
        if scene is not self.__dict__.get("_scene"):
            self.__dict__["_scene"] = scene
            self.mrmlSceneChanged.emit(scene)

    def _mrml_scene(self):
        return self.__dict__.get("_scene")


@widget
class qMRMLWidget(_InScene, QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)
    mrmlScene = _InScene._mrml_scene


@widget
class qSlicerWidget(_InScene, QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)


class _WithUnit:
    quantity = Value("")
    unitAwareProperties = Value(0)

    def setMRMLScene(self, scene):
        self.__dict__["_scene"] = scene


@widget
class qMRMLSliderWidget(_WithUnit, ctk.ctkSliderWidget):
    mrmlScene = _InScene._mrml_scene


@widget
class qMRMLSpinBox(_WithUnit, ctk.ctkDoubleSpinBox):
    mrmlScene = _InScene._mrml_scene


@widget
class qMRMLRangeWidget(ctk.ctkRangeWidget):
    quantity = Value("")
    mrmlScene = property(lambda self: self.__dict__.get("_scene"))

    def setMRMLScene(self, scene):
        self.__dict__["_scene"] = scene


@widget
class qMRMLSegmentationShow3DButton(ctk.ctkMenuButton):
    """Shows a segmentation in 3D while it is checked: its closed surface is made, and shown."""

    def __init__(self, parent=None):
        ctk.ctkMenuButton.__init__(self, parent)
        self.__dict__.update(_segmentation=None)
        self.setText("Show 3D")
        self.setCheckable(True)
        self.setEnabled(False)
        self.toggled.connect(self._show)

    locked = Value(False, None, bool)

    def setSegmentationNode(self, node):
        self.__dict__["_segmentation"] = node
        self.setEnabled(node is not None)

    def _show(self, shown):
        if self._segmentation is None or self.locked:
            return
        if shown:
            self._segmentation.CreateClosedSurfaceRepresentation()
        else:
            self._segmentation.RemoveClosedSurfaceRepresentation()


@widget
class qMRMLSegmentsTableView(qMRMLWidget):
    readOnly = Value(False)
    headerVisible, visibilityColumnVisible, colorColumnVisible = Value(True), Value(True), Value(True)
    opacityColumnVisible, statusColumnVisible, layerColumnVisible = Value(False), Value(False), Value(False)

    def setSegmentationNode(self, node):
        self.__dict__["_segmentation"] = node

    def segmentationNode(self):
        return self.__dict__.get("_segmentation")

    def _ids(self):
        node = self.segmentationNode()
        return () if node is None else tuple(node.GetSegmentation().GetSegmentIDs())

    segmentCount = property(lambda self: len(self._ids()))

    def setSelectedSegmentIDs(self, ids):
        self.__dict__["_selected"] = tuple(one for one in ids if one in self._ids())

    def selectedSegmentIDs(self):
        return self.__dict__.get("_selected", ())


@widget
class qMRMLTableView(QtWidgets.QTableView):
    mrmlSceneChanged = Signal(object)
    firstRowLocked, firstColumnLocked, transposed = Value(False), Value(False), Value(False)

    def setMRMLScene(self, scene):
        self.__dict__["_scene"] = scene

    mrmlScene = _InScene._mrml_scene

    def setMRMLTableNode(self, node):
        self.__dict__["_table"] = node

    def mrmlTableNode(self):
        return self.__dict__.get("_table")
