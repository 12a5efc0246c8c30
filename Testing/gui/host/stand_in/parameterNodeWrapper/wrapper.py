"""The class decorator: typed attributes over a parameter node, bound to widgets both ways."""

from __future__ import annotations

import typing

import qt
import slicer
import vtk
from slicer.parameterNodeWrapper.annotations import Default
from slicer.parameterNodeWrapper.connectors import connector
from slicer.parameterNodeWrapper.storage import storage

SlicerParameterNamePropertyName = "SlicerParameterName"
_RESERVED = (
    "allParameters default isCached dataType getValue setValue connectGui connectParametersToGui disconnectGui "
    "StartModify EndModify AddObserver RemoveObserver Modified"
).split()


class _Wrapped:
    """What every wrapped class is given."""

    def __init__(self, parameterNode, prefix=None):
        if parameterNode is None:
            raise ValueError("a parameter node wrapper needs a parameter node")
        self.parameterNode = parameterNode
        self._prefix = prefix or ""
        self._guis, self._writing_gui = {}, False
        for name, (held, default) in self._storage.items():
            if not held.holds(parameterNode, self._prefix + name):
                held.write(parameterNode, self._prefix + name, default.value)

    def _checked(self, name):
        if name not in self._storage:
            raise ValueError(f"no parameter {name!r}; there are {', '.join(self._storage)}")
        return self._storage[name][0]

    def getValue(self, name):
        held = self._checked(name)
        if not held.holds(self.parameterNode, self._prefix + name):
            held.write(self.parameterNode, self._prefix + name, self._storage[name][1].value)
        return held.read(self.parameterNode, self._prefix + name)

    def setValue(self, name, value):
        self._checked(name).write(self.parameterNode, self._prefix + name, value)

    def default(self, name):
        self._checked(name)
        return self._storage[name][1]

    def dataType(self, name):
        self._checked(name)
        return self._hints[name]

    def connectGui(self, gui):
        widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "isWidgetType") else vars(gui).values()
        named = ((widget.property(SlicerParameterNamePropertyName), widget) for widget in widgets)
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, mapping):
        connectors = {name: connector(widget, self.dataType(name)) for name, widget in mapping.items()}
        for name, connected in connectors.items():
            connected.write(self.getValue(name))
            connected.on_changed(lambda name=name, connected=connected: self._from_gui(name, connected))
        tag = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_gui())
        self._guis[tag] = connectors
        return tag

    def disconnectGui(self, tag):
        for connected in self._guis.pop(tag, {}).values():
            connected.on_changed(None)
        self.RemoveObserver(tag)

    def _from_gui(self, name, connected):
        if not self._writing_gui:
            with slicer.util.NodeModify(self):
                self.setValue(name, connected.read())

    def _to_gui(self):
        if self._writing_gui:
            return
        self._writing_gui = True
        try:
            for connectors in self._guis.values():
                for name, connected in connectors.items():
                    connected.write(self.getValue(name))
        finally:
            self._writing_gui = False

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, before):
        self.parameterNode.EndModify(before)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        self.parameterNode.Modified()


def _attribute(name):
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def parameterNodeWrapper(classtype=None):
    if classtype is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(classtype, include_extras=True)
    held = {}
    for name, hint in hints.items():
        kept, default = storage(hint)
        if hasattr(classtype, name):
            default = Default(getattr(classtype, name))
        held[name] = (kept, default or Default(generator=lambda kept=kept: kept.default))
    members = {name: value for name, value in vars(classtype).items() if name not in ("__dict__", "__weakref__")}
    for name in _RESERVED:
        if name in members or name in hints:
            raise ValueError(f"{name!r} is a name of parameterNodeWrapper's own")
    members.update({name: _attribute(name) for name in hints})
    members.update(_storage=held, _hints=hints, allParameters=held, _is_parameter_node_wrapper=True)
    return type(classtype.__name__, (_Wrapped,), members)


def isParameterNodeWrapper(one):
    return getattr(one, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget, parameter):
    for child in widget.findChildren(qt.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    return None
