"""The layout and its views. They hold their MRML nodes and draw nothing."""

from __future__ import annotations

import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Signal

from Testing.gui.host.qmrml import qMRMLWidget
from Testing.gui.host.scene import SLICE_VIEWS
from Testing.gui.host.speech import speak


@speak
class qMRMLSliceWidget(qMRMLWidget):
    def __init__(self, logic, parent=None):
        qMRMLWidget.__init__(self, parent)
        self.__dict__["_logic"] = logic

    def sliceLogic(self):
        return self._logic

    def logic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self):
        self._logic.FitSliceToBackground()


@speak
class qMRMLPlotView(QtWidgets.QWidget):
    dataSelected = Signal(object, object)
    mrmlSceneChanged = Signal(object)

    def fitToContent(self):
        pass

    def RemovePlotSelections(self):
        pass


@speak
class qMRMLPlotWidget(qMRMLWidget):
    def __init__(self, node, parent=None):
        qMRMLWidget.__init__(self, parent)
        self.__dict__.update(_node=node, _view=qMRMLPlotView(self))

    def plotView(self):
        return self._view

    def mrmlPlotViewNode(self):
        return self._node


@speak
class qMRMLThreeDView(QtWidgets.QWidget):
    def resetFocalPoint(self):
        pass

    def resetCamera(self, *options):
        pass


@speak
class qMRMLThreeDWidget(qMRMLWidget):
    def __init__(self, parent=None):
        qMRMLWidget.__init__(self, parent)
        self.__dict__["_view"] = qMRMLThreeDView(self)

    def threeDView(self):
        return self._view


@speak
class qSlicerLayoutManager(QtCore.QObject):
    layoutChanged = Signal(int)

    def __init__(self, scene):
        QtCore.QObject.__init__(self)
        slices = {name: qMRMLSliceWidget(logic) for name, logic in scene.slices.items()}
        self.__dict__.update(
            _scene=scene, _slices=slices, _plot=qMRMLPlotWidget(scene.plot_view), _three_d=qMRMLThreeDWidget()
        )

    def layoutLogic(self):
        return self._scene.layout

    def mrmlScene(self):
        return self._scene.scene

    def setLayout(self, arrangement):
        before = self.layout
        self._scene.layout.GetLayoutNode().SetViewArrangement(arrangement)
        if arrangement != before:
            self.layoutChanged.emit(arrangement)

    layout = property(
        lambda self: self._scene.layout.GetLayoutNode().GetViewArrangement(),
        lambda self, arrangement: self.setLayout(arrangement),
    )
    plotViewCount = threeDViewCount = property(lambda self: 1)
    tableViewCount = property(lambda self: 0)

    def sliceViewNames(self):
        return SLICE_VIEWS

    def sliceWidget(self, name):
        return self._slices.get(name)

    def plotWidget(self, index):
        return self._plot if index == 0 else None

    def threeDWidget(self, index):
        return self._three_d if index == 0 else None

    def mrmlSliceLogics(self):
        logics = vtk.vtkCollection()
        for logic in self._scene.slices.values():
            logics.AddItem(logic)
        return logics

    def resetSliceViews(self):
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self):
        pass
