"""How Slicer loads a scripted module: the module object, and the widget that is made when it is first opened."""

from __future__ import annotations

import importlib.util
import sys

import slicer
from PySide6 import QtCore

from Testing.gui.host import qt
from Testing.gui.host.core_modules import qSlicerAbstractModuleWidget
from Testing.gui.host.speech import speak


@speak
class qSlicerScriptedLoadableModuleWidget(qSlicerAbstractModuleWidget):
    def __init__(self, module):
        qSlicerAbstractModuleWidget.__init__(self, module)
        self.__dict__["_python"] = None
        qt.QVBoxLayout(self)
        self._make()

    def _make(self):
        name = self._module.name
        python = getattr(sys.modules[name], name + "Widget")(self)
        self.__dict__["_python"] = python
        setattr(slicer.modules, name + "Widget", python)
        python.setup()

    def self(self):
        return self._python

    def reload(self):
        self._make()

    def enter(self):
        qSlicerAbstractModuleWidget.enter(self)
        if hasattr(self._python, "enter"):
            self._python.enter()

    def exit(self):
        qSlicerAbstractModuleWidget.exit(self)
        if hasattr(self._python, "exit"):
            self._python.exit()


@speak
class qSlicerScriptedLoadableModule(QtCore.QObject):
    def __init__(self, path):
        QtCore.QObject.__init__(self)
        self.__dict__.update(_path=str(path), _name=path.stem, _widget=None, _values={})

    path = property(lambda self: self._path)
    name = property(lambda self: self._name)

    def widgetRepresentation(self):
        if self._widget is None:
            self.__dict__["_widget"] = qSlicerScriptedLoadableModuleWidget(self)
        return self._widget

    def _unload(self):
        if self._widget is not None:
            self._widget.deleteLater()
            self.__dict__["_widget"] = None
        for name in (self._name.lower(), self._name + "Widget", self._name + "Instance"):
            if hasattr(slicer.modules, name):
                delattr(slicer.modules, name)
        if hasattr(slicer.moduleNames, self._name):
            delattr(slicer.moduleNames, self._name)


def _value(name):
    return property(lambda self: self._values.get(name), lambda self, value: self._values.__setitem__(name, value))


for _name in (
    "title",
    "categories",
    "associatedNodeTypes",
    "dependencies",
    "contributors",
    "helpText",
    "acknowledgementText",
    "icon",
    "hidden",
    "index",
    "widgetRepresentationCreationEnabled",
):
    setattr(qSlicerScriptedLoadableModule, _name, _value(_name))


def load(path):
    """Import the module file and make its module object, as the module factory does."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    python = importlib.util.module_from_spec(spec)
    sys.modules[name] = python
    spec.loader.exec_module(python)
    module = qSlicerScriptedLoadableModule(path)
    instance = getattr(python, name)(module)
    setattr(slicer.modules, name.lower(), module)
    setattr(slicer.modules, name + "Instance", instance)
    setattr(slicer.moduleNames, name, name)
    return module
