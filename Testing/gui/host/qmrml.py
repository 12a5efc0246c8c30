"""qMRML and qSlicer widgets that list real MRML nodes."""

import slicer
from PySide6 import QtWidgets
from PySide6.QtCore import Signal

from Testing.gui.host import ctk, qt
from Testing.gui.host.ctk import widget
from Testing.gui.host.values import Value


class _SceneWidget:
    def mrmlScene(self):
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene):
        if scene is self.mrmlScene():
            return
        self.__dict__["_scene"] = scene
        self.mrmlSceneChanged.emit(scene)


@widget
class qMRMLWidget(QtWidgets.QWidget, _SceneWidget):
    mrmlSceneChanged = Signal(object)
    host_signals = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}


@widget
class qSlicerWidget(QtWidgets.QWidget, _SceneWidget):
    mrmlSceneChanged = Signal(object)
    host_signals = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def setMRMLScene(self, scene):
        _SceneWidget.setMRMLScene(self, scene)


class _NodeList(QtWidgets.QWidget):
    """What qMRMLNodeComboBox and the subject hierarchy widgets have in common."""

    currentNodeChanged = Signal(object)
    currentNodeChangedBool = Signal(bool)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)
    mrmlSceneChanged = Signal(object)
    host_signals = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "currentNodeChangedBool",
        "currentNodeIDChanged(QString)": "currentNodeIDChanged",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
    }
    nodeTypes = Value((), None, tuple, lambda s: s._refresh())
    hideChildNodeTypes = Value((), None, tuple, lambda s: s._refresh())
    showChildNodeTypes = Value(True, None, bool, lambda s: s._refresh())
    showHidden = Value(False, None, bool, lambda s: s._refresh())
    noneEnabled = Value(False, None, bool, lambda s: s._refresh())
    addEnabled = Value(True, None, bool, lambda s: s._refresh())
    removeEnabled = Value(True, None, bool, lambda s: s._refresh())
    renameEnabled = Value(False, None, bool, lambda s: s._refresh())
    editEnabled = Value(False)
    selectNodeUponCreation = Value(True)
    noneDisplay = Value("None", None, str, lambda s: s._refresh())
    baseName = Value("")
    interactionNodeSingletonTag = Value("Singleton")

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        box = qt.QComboBox()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(box)
        self.__dict__.update(_scene=None, _node=None, _box=box, _items=[], _tags=[], _busy=False, _attributes={})
        box.activated.connect(self._picked)
        self.setEnabled(False)

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is self._scene:
            return
        for t in self._tags:
            self._scene.RemoveObserver(t)
        self.__dict__["_tags"] = []
        self.__dict__["_scene"] = scene
        if scene is not None:
            s = slicer.vtkMRMLScene
            for e in (s.NodeAddedEvent, s.NodeRemovedEvent, s.EndCloseEvent, s.EndImportEvent, s.EndBatchProcessEvent):
                self._tags.append(scene.AddObserver(e, lambda *a: self._refresh()))
        self._refresh()
        self.setEnabled(scene is not None)

    def addAttribute(self, nodeType, name, value=None):
        self._attributes[nodeType] = (name, value)
        self._refresh()

    def _accepts(self, node):
        if not self.showHidden and node.GetHideFromEditors():
            return False
        if not self.nodeTypes:
            return True
        for t in self.nodeTypes:
            if not node.IsA(t):
                continue
            if not self.showChildNodeTypes and node.GetClassName() != t:
                continue
            if self.showChildNodeTypes and any(node.IsA(h) for h in self.hideChildNodeTypes):
                return False
            if t in self._attributes:
                n, v = self._attributes[t]
                h = node.GetAttribute(n)
                if h is None or (v is not None and str(v) != h):
                    return False
            return True
        return False

    def _nodes(self):
        if self._scene is None:
            return []
        return [
            n for n in (self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes())) if self._accepts(n)
        ]

    def nodeCount(self):
        return len(self._nodes())

    def nodeFromIndex(self, i):
        return self._nodes()[i]

    def _refresh(self):
        if "_box" not in self.__dict__ or self._busy:
            return
        self.__dict__["_busy"] = True
        nodes = self._nodes()
        box = self._box
        items = ([(self.noneDisplay, None)] if self.noneEnabled else []) + [(n.GetName(), n) for n in nodes]
        self.__dict__["_items"] = items
        box.clear()
        for text, _ in items:
            box.addItem(text)
        actions = []
        if self.addEnabled:
            actions += [f"Create new {self._label(t)}" for t in self.nodeTypes]
        if self.renameEnabled:
            actions.append("Rename current node")
        if self.removeEnabled:
            actions.append("Delete current node")
        if actions:
            box.insertSeparator(box.count)
        for a in actions:
            box.addItem(a)
        self.__dict__["_busy"] = False
        new = (
            self._node
            if any(n is self._node for n in nodes)
            else (None if self._node is None or self.noneEnabled or not nodes else nodes[-1])
        )
        self._set(new, True)

    def _label(self, t):
        name = (
            self._scene.GetTypeDisplayNameByClassName(t)
            if self._scene is not None and hasattr(self._scene, "GetTypeDisplayNameByClassName")
            else ""
        )
        return name or t.replace("vtkMRML", "").replace("Node", "")

    def _set(self, node, fromList=False):
        changed = node is not self._node
        self.__dict__["_node"] = node
        index = next((i for i, (_, n) in enumerate(self._items) if n is node), -1)
        if node is None and not self.noneEnabled:
            self._box.setCurrentIndex(-1)
            self._box.setPlaceholderText("Select a " + self._label(self.nodeTypes[0] if self.nodeTypes else "node"))
        else:
            self._box.setCurrentIndex(index)
        if changed:
            self.currentNodeChanged.emit(node)
            self.currentNodeChangedBool.emit(node is not None)
            self.currentNodeIDChanged.emit(node.GetID() if node is not None else "")

    def _picked(self, index):
        if index < len(self._items):
            self._set(self._items[index][1])
            return
        text = self._box.itemText(index)
        if text.startswith("Create new"):
            t = next(t for t in self.nodeTypes if text == f"Create new {self._label(t)}")
            node = self.addNode(t)
            self.nodeAddedByUser.emit(node)
        elif text.startswith("Delete") and self._node is not None:
            self._scene.RemoveNode(self._node)
        else:
            self._set(self._node)

    def addNode(self, nodeType=None):
        nodeType = nodeType or self.nodeTypes[0]
        name = self.baseName or self._label(nodeType)
        node = self._scene.AddNewNodeByClass(nodeType, self._scene.GenerateUniqueName(name))
        if self.selectNodeUponCreation:
            self._set(node)
        return node

    def currentNode(self):
        return self._node

    def setCurrentNode(self, node):
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node)
        if node is not None and not any(n is node for n in self._nodes()):
            node = None
        self._set(node)

    currentNodeID = property(
        lambda s: s._node.GetID() if s._node is not None else "", lambda s, v: s.setCurrentNode(v or None)
    )

    def setCurrentNodeID(self, v):
        self.setCurrentNode(v or None)

    def setNodeTypeLabel(self, label, t):
        pass

    def clearSelection(self):
        self._set(None)


@widget
class qMRMLNodeComboBox(_NodeList):
    pass


@widget
class qMRMLSubjectHierarchyComboBox(_NodeList):
    @property
    def currentItemChanged(self):
        return self.currentNodeChanged


@widget
class qMRMLSubjectHierarchyTreeView(_NodeList):
    multiSelection = Value(False)

    @property
    def currentItemsChanged(self):
        return self.currentNodeChanged


@widget
class qMRMLSliderWidget(ctk.ctkSliderWidget):
    pass


@widget
class qMRMLSpinBox(ctk.ctkDoubleSpinBox):
    pass


@widget
class qMRMLRangeWidget(ctk.ctkRangeWidget):
    pass


@widget
class qMRMLCheckableNodeComboBox(_NodeList):
    pass


ALL = [
    qMRMLWidget,
    qSlicerWidget,
    qMRMLNodeComboBox,
    qMRMLSubjectHierarchyComboBox,
    qMRMLSubjectHierarchyTreeView,
    qMRMLSliderWidget,
    qMRMLSpinBox,
    qMRMLRangeWidget,
    qMRMLCheckableNodeComboBox,
]
