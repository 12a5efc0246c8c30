"""Widgets that list the scene's nodes: they show real nodes and follow the scene."""

from __future__ import annotations

import shiboken6
import slicer
from PySide6 import QtWidgets
from PySide6.QtCore import Qt, Signal

from Testing.gui.host import ctk, qt
from Testing.gui.host.ctk_buttons import widget
from Testing.gui.host.values import Value


def _filter(default, cast):
    return Value(default, None, cast, lambda self: self._refresh())


class _Nodes:
    """The nodes of the scene that a list accepts. A list has nodeTypes and tells of a change by `_changed(node)`."""

    def _begin(self):
        self.__dict__.update(_scene=None, _node=None, _tags=[], _attributes={})

    def _accepts(self, node):
        if not self._show_hidden() and node.GetHideFromEditors():
            return False
        if not self.nodeTypes:
            return True
        return any(self._is_of(node, kind) for kind in self.nodeTypes)

    def _is_of(self, node, kind):
        if not node.IsA(kind):
            return False
        if not self._show_children() and node.GetClassName() != kind:
            return False
        if any(node.IsA(hidden) for hidden in self._hidden_children()):
            return False
        for name, value in self._attributes.get(kind, {}).items():
            held = node.GetAttribute(name)
            if held is None or (value is not None and str(value) != held):
                return False
        return True

    def _show_hidden(self):
        return False

    def _show_children(self):
        return True

    def _hidden_children(self):
        return ()

    def _nodes(self):
        if self._scene is None:
            return []
        if len(self.nodeTypes) == 1:  # Found by the scene itself: a scene of one volume has 80 nodes.
            kind = self.nodeTypes[0]
            count = self._scene.GetNumberOfNodesByClass(kind)
            every = (self._scene.GetNthNodeByClass(index, kind) for index in range(count))
        else:
            every = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in every if self._accepts(node)]

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if scene is self._scene:
            return
        for owner, tag in self._tags:
            owner.RemoveObserver(tag)
        self.__dict__.update(_scene=scene, _tags=[])
        if scene is not None:
            kinds = slicer.vtkMRMLScene
            events = ("NodeAddedEvent", "NodeRemovedEvent", "EndCloseEvent", "EndImportEvent", "EndBatchProcessEvent")
            for event in events:
                self._tags.append((scene, scene.AddObserver(getattr(kinds, event), lambda *_: self._refresh())))
        self._refresh()

    def currentNode(self):
        return self._node

    def _set(self, node):
        changed = node is not self._node
        self.__dict__["_node"] = node
        self._show()
        if changed:
            self._changed(node)

    def _refresh(self):
        if not shiboken6.isValid(self):
            # Its window is gone; in C++ the observers would have gone with it.
            for owner, tag in self._tags:
                owner.RemoveObserver(tag)
            self.__dict__["_tags"] = []
            return
        if "_node" not in self.__dict__ or (self._scene is not None and self._scene.IsBatchProcessing()):
            return
        nodes = self._nodes()
        self.__dict__["_listed"] = nodes
        if self._node is None or any(node is self._node for node in nodes):
            self._show()
        else:
            self._lost(nodes)

    def _lost(self, nodes):
        """The current node has left the scene or is no longer accepted."""
        self._set(None)

    def setCurrentNode(self, node):
        node = self._scene.GetNodeByID(node) if isinstance(node, str) and self._scene is not None else node
        self._set(node if any(one is node for one in self._nodes()) else None)


@widget
class qMRMLNodeComboBox(_Nodes, QtWidgets.QWidget):
    """Disabled until it has a scene. Without "None" it does not choose the first node by itself."""

    currentNodeChanged = Signal(object)
    _currentNodeChangedBool = Signal(bool)
    _overloads = {"currentNodeChanged(bool)": "_currentNodeChangedBool"}
    currentNodeIDChanged, currentNodeRenamed = Signal(str), Signal(str)
    nodeActivated, nodeAdded, nodeAboutToBeEdited = Signal(object), Signal(object), Signal(object)
    nodeAddedByUser, nodeAddedByUserAction = Signal(object), Signal(object)
    nodeTypes, hideChildNodeTypes = _filter((), tuple), _filter((), tuple)
    showChildNodeTypes, showHidden = _filter(True, bool), _filter(False, bool)
    noneEnabled, addEnabled, removeEnabled = _filter(False, bool), _filter(True, bool), _filter(True, bool)
    renameEnabled, editEnabled = _filter(False, bool), _filter(False, bool)
    noneDisplay, baseName = _filter("None", str), Value("", None, str)
    selectNodeUponCreation, interactionNodeSingletonTag = Value(True, None, bool), Value("Singleton")
    sizeAdjustPolicy = Value(None)

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        box = qt.QComboBox()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(box)
        box.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._begin()
        self.__dict__.update(_box=box, _labels={}, _actions=[], _listed=[])
        box.activated.connect(self._picked)
        QtWidgets.QWidget.setEnabled(self, False)

    def _show_hidden(self):
        return self.showHidden

    def _show_children(self):
        return self.showChildNodeTypes

    def _hidden_children(self):
        return self.hideChildNodeTypes if self.showChildNodeTypes else ()

    def setMRMLScene(self, scene):
        _Nodes.setMRMLScene(self, scene)
        QtWidgets.QWidget.setEnabled(self, scene is not None)

    def addAttribute(self, kind, name, value=None):
        self._attributes.setdefault(kind, {})[name] = value
        self._refresh()

    def removeAttribute(self, kind, name):
        self._attributes.get(kind, {}).pop(name, None)
        self._refresh()

    def nodeCount(self):
        return len(self._nodes())

    def nodeFromIndex(self, index):
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def setCurrentNodeIndex(self, index):
        self._set(self.nodeFromIndex(index))

    def setCurrentNodeID(self, identifier):
        self.setCurrentNode(identifier or None)

    currentNodeID = property(
        lambda self: "" if self._node is None else self._node.GetID(), lambda self, value: self.setCurrentNodeID(value)
    )

    def setNodeTypeLabel(self, label, kind):
        self._labels[kind] = label
        self._refresh()

    def nodeTypeLabel(self, kind):
        if kind in self._labels:
            return self._labels[kind]
        shown = self._scene.GetTypeDisplayNameByClassName(kind) if self._scene is not None else ""
        return shown or kind.removeprefix("vtkMRML").removesuffix("Node")

    def addMenuAction(self, action):
        self._actions.append(action)
        self._refresh()

    def _show(self):
        box = self._box
        entries = [(self.noneDisplay, None)] if self.noneEnabled else []
        entries += [(node.GetName() or "", node) for node in self._listed]
        self.__dict__["_entries"] = entries
        box.clear()
        for text, _ in entries:
            box.addItem(text)
        actions = self._menu()
        if actions and entries:
            box.insertSeparator(box.count)
        for text, _ in actions:
            box.addItem(text)
        index = next((i for i, (_, node) in enumerate(entries) if node is self._node), -1)
        if index < 0:
            first = self.nodeTypes[0] if self.nodeTypes else ""
            box.setPlaceholderText(f"Select a {self.nodeTypeLabel(first) if first else 'node'}")
        box.setCurrentIndex(index)

    def _menu(self):
        """The entries below the nodes, and what each does."""
        actions = []
        if self.addEnabled:
            for kind in self.nodeTypes:
                actions.append((f"Create new {self.nodeTypeLabel(kind)}", lambda kind=kind: self._add_by_user(kind)))
        if self.renameEnabled and self._node is not None:
            actions.append((f"Rename current {self.nodeTypeLabel(self._node.GetClassName())}", self.renameCurrentNode))
        if self.removeEnabled and self._node is not None:
            actions.append((f"Delete current {self.nodeTypeLabel(self._node.GetClassName())}", self.removeCurrentNode))
        return actions + [(action.text, action.trigger) for action in self._actions]

    def _picked(self, index):
        if index < len(self._entries):
            self._set(self._entries[index][1])
            self.nodeActivated.emit(self._node)
            return
        text = self._box.itemText(index)
        chosen = next(done for shown, done in self._menu() if shown == text)
        chosen()
        self._show()

    def _add_by_user(self, kind):
        self.nodeAddedByUserAction.emit(self.addNode(kind))

    def addNode(self, kind=None):
        kind = kind or self.nodeTypes[0]
        name = self._scene.GenerateUniqueName(self.baseName or self.nodeTypeLabel(kind))
        node = self._scene.AddNewNodeByClass(kind, name)
        for attribute, value in self._attributes.get(kind, {}).items():
            node.SetAttribute(attribute, None if value is None else str(value))
        self._refresh()
        if self.selectNodeUponCreation:
            self._set(node)
        self.nodeAdded.emit(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self):
        if self._node is not None:
            self._scene.RemoveNode(self._node)

    def renameCurrentNode(self):
        name, accepted = QtWidgets.QInputDialog.getText(
            self, "Rename", "New name:", QtWidgets.QLineEdit.EchoMode.Normal, self._node.GetName()
        )
        if accepted:
            self._node.SetName(name)
            self._show()
            self.currentNodeRenamed.emit(name)

    def editCurrentNode(self):
        self.nodeAboutToBeEdited.emit(self._node)

    def _lost(self, nodes):
        self._set(None if self.noneEnabled or not nodes else nodes[-1])

    def _changed(self, node):
        self.currentNodeChanged.emit(node)
        self._currentNodeChangedBool.emit(node is not None)
        self.currentNodeIDChanged.emit("" if node is None else node.GetID())


@widget
class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    checkedNodesChanged = Signal()

    def _checked(self):
        return self.__dict__.setdefault("_ticked", [])

    def checkedNodes(self):
        return tuple(node for node in self._nodes() if any(node is one for one in self._checked()))

    def uncheckedNodes(self):
        return tuple(node for node in self._nodes() if not any(node is one for one in self._checked()))

    def checkState(self, node):
        ticked = any(node is one for one in self._checked())
        return Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked

    def check(self, node):
        self.setCheckState(node, Qt.CheckState.Checked)

    def uncheck(self, node):
        self.setCheckState(node, Qt.CheckState.Unchecked)

    def setCheckState(self, node, state):
        others = [one for one in self._checked() if one is not node]
        self.__dict__["_ticked"] = [*others, node] if state == Qt.CheckState.Checked else others
        self.checkedNodesChanged.emit()


@widget
class qMRMLSubjectHierarchyComboBox(_Nodes, ctk.ctkComboBox):
    currentItemChanged = Signal(int)
    nodeTypes = _filter((), tuple)
    noneEnabled, noneDisplay = _filter(False, bool), _filter("None", str)

    def __init__(self, parent=None):
        ctk.ctkComboBox.__init__(self, parent)
        self._begin()

    def setHideChildNodeTypes(self, kinds):
        self.__dict__["_hidden"] = tuple(kinds)
        self._refresh()

    def _hidden_children(self):
        return self.__dict__.get("_hidden", ())

    def clearSelection(self):
        self._set(None)

    def _show(self):
        self.clear()
        for node in self.__dict__.get("_listed", ()):
            self.addItem(node.GetName())

    def currentItem(self):
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        return 0 if self._node is None else hierarchy.GetItemByDataNode(self._node)

    def _changed(self, node):
        self.currentItemChanged.emit(self.currentItem())


@widget
class qMRMLSubjectHierarchyTreeView(_Nodes, QtWidgets.QTreeView):
    currentItemChanged, currentItemsChanged = Signal(int), Signal(list)
    currentNodeChanged, nodeAddedByUser = Signal(object), Signal(object)
    nodeTypes, hideChildNodeTypes = _filter((), tuple), _filter((), tuple)
    noneEnabled, noneDisplay, multiSelection = _filter(False, bool), _filter("None", str), Value(False, None, bool)

    def __init__(self, parent=None):
        QtWidgets.QTreeView.__init__(self, parent)
        self._begin()

    def _hidden_children(self):
        return self.hideChildNodeTypes

    def clearSelection(self):
        self._set(None)

    def _show(self):
        pass

    def currentItem(self):
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        return 0 if self._node is None else hierarchy.GetItemByDataNode(self._node)

    def _changed(self, node):
        self.currentItemChanged.emit(self.currentItem())
        self.currentItemsChanged.emit([self.currentItem()])
        self.currentNodeChanged.emit(node)
