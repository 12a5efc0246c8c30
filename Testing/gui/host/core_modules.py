"""The modules of Slicer's core that a registration module speaks to: their logics are Slicer's own."""

from __future__ import annotations

import slicer
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Signal

from Testing.gui.host.ctk_buttons import widget
from Testing.gui.host.qmrml import qMRMLWidget, qSlicerWidget
from Testing.gui.host.speech import speak
from Testing.gui.host.values import Value


@speak
class qSlicerAbstractModuleWidget(qSlicerWidget):
    """The panel of a C++ module: which node it was opened for is noted, and nothing drawn."""

    def __init__(self, module=None):
        qSlicerWidget.__init__(self)
        self.__dict__.update(_module=module, _entered=False, _edited=None)

    isEntered = property(lambda self: self._entered)

    def module(self):
        return self._module

    def enter(self):
        self.__dict__["_entered"] = True

    def exit(self):
        self.__dict__["_entered"] = False

    def setEditedNode(self, node, role="", context=""):
        self.__dict__["_edited"] = node
        return True


class _Module(QtCore.QObject):
    def __init__(self, name, logic):
        QtCore.QObject.__init__(self)
        self.__dict__.update(_name=name, _logic=logic, _widget=None)

    name = title = property(lambda self: self._name)

    def logic(self):
        return self._logic

    def widgetRepresentation(self):
        if self._widget is None:
            self.__dict__["_widget"] = qSlicerAbstractModuleWidget(self)
        return self._widget


@speak
class qMRMLSequenceBrowserToolBar(QtWidgets.QToolBar):
    activeBrowserNodeChanged = Signal(object)
    mrmlSceneChanged = Signal(object)

    def activeBrowserNode(self):
        return self.__dict__.get("_browser")

    def setActiveBrowserNode(self, node):
        if node is not self.activeBrowserNode():
            self.__dict__["_browser"] = node
            self.activeBrowserNodeChanged.emit(node)


@speak
class qSlicerSequencesModule(_Module):
    toolBarVisible = Value(False, None, bool)

    def toolBar(self):
        if "_bar" not in self.__dict__:
            self.__dict__["_bar"] = qMRMLSequenceBrowserToolBar()
        return self._bar

    def setToolBarActiveBrowserNode(self, node):
        self.toolBar().setActiveBrowserNode(node)

    def showSequenceBrowser(self, node):
        self.setToolBarActiveBrowserNode(node)
        self.toolBarVisible = True
        return True


def _module_class(name):
    return speak(type(f"qSlicer{name}Module", (_Module,), {"__module__": __name__}))


qSlicerColorsModule = _module_class("Colors")
qSlicerMarkupsModule = _module_class("Markups")
qSlicerModelsModule = _module_class("Models")
qSlicerPlotsModule = _module_class("Plots")
qSlicerSegmentationsModule = _module_class("Segmentations")
qSlicerSubjectHierarchyModule = _module_class("SubjectHierarchy")
qSlicerTablesModule = _module_class("Tables")
qSlicerTransformsModule = _module_class("Transforms")
qSlicerVolumesModule = _module_class("Volumes")

# Which module Slicer opens for a node ("Edit properties").
OPENS = {
    "vtkMRMLTransformNode": "Transforms",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLVolumeNode": "Volumes",
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLPlotChartNode": "Plots",
    "vtkMRMLSequenceNode": "Sequences",
}


def make(scene):
    """The modules by name, with the scene's logics."""
    made = {}
    for name, logic in scene.logics.items():
        made[name] = globals()[f"qSlicer{name}Module"](name, logic)
        setattr(slicer.modules, name.lower(), made[name])
        setattr(slicer.moduleNames, name, name)
    return made


@widget
class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Which segmentation, volume and segment the Segment Editor shows; no effect is there."""

    segmentationNodeChanged, sourceVolumeNodeChanged = Signal(object), Signal(object)
    currentSegmentIDChanged = Signal(str)
    readOnly = Value(False, None, bool)
    segmentationNodeSelectorVisible = Value(True, None, bool)
    sourceVolumeNodeSelectorVisible = Value(True, None, bool)
    switchToSegmentationsButtonVisible = Value(True, None, bool)
    maximumNumberOfUndoStates = Value(10, None, int)

    def setMRMLSegmentEditorNode(self, node):
        self.__dict__["_editor_node"] = node

    def mrmlSegmentEditorNode(self):
        return self.__dict__.get("_editor_node")

    def _need_node(self):
        node = self.mrmlSegmentEditorNode()
        if node is None:
            raise RuntimeError("the Segment Editor has no vtkMRMLSegmentEditorNode yet: Slicer ignores this call")
        return node

    def setSegmentationNode(self, node):
        if node is None and self.mrmlSegmentEditorNode() is None:
            return
        self._need_node().SetAndObserveSegmentationNode(node)
        self.segmentationNodeChanged.emit(node)

    def segmentationNode(self):
        node = self.mrmlSegmentEditorNode()
        return None if node is None else node.GetSegmentationNode()

    def segmentationNodeID(self):
        node = self.segmentationNode()
        return "" if node is None else node.GetID()

    def setSourceVolumeNode(self, node):
        # Slicer ignores a source volume before there is a segmentation.
        if self.segmentationNode() is not None:
            self._need_node().SetAndObserveSourceVolumeNode(node)
            self.sourceVolumeNodeChanged.emit(node)

    def sourceVolumeNode(self):
        node = self.mrmlSegmentEditorNode()
        return None if node is None else node.GetSourceVolumeNode()

    def sourceVolumeNodeID(self):
        node = self.sourceVolumeNode()
        return "" if node is None else node.GetID()

    def setCurrentSegmentID(self, identifier):
        self._need_node().SetSelectedSegmentID(identifier)
        self.currentSegmentIDChanged.emit(identifier)

    def currentSegmentID(self):
        node = self.mrmlSegmentEditorNode()
        return "" if node is None else node.GetSelectedSegmentID() or ""

    def setActiveEffectByName(self, name):
        pass

    def setActiveEffect(self, effect):
        pass

    def updateWidgetFromMRML(self):
        pass
