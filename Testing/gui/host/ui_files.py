"""Reads Qt Designer's files as Slicer's QUiLoader does, with the widgets of CTK and Slicer in them."""

from __future__ import annotations

import inspect
import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from Testing.gui.host import speech

custom_widgets: dict[str, type] = {}


def custom(kind):
    """Class decorator: .ui files may name this widget."""
    custom_widgets[kind.__name__] = kind
    return kind


def _give_designer_properties(widget):
    """PySide6 keeps properties of custom widgets only as dynamic ones: they become the widget's own."""
    for name in (bytes(name).decode() for name in widget.dynamicPropertyNames()):
        held = inspect.getattr_static(type(widget), name, None)
        if held is not None:
            setattr(widget, name, speech.plain(QtCore.QObject.property(widget, name)))


def _without_connections(path):
    """The file as Qt is to read it, and its connections: Qt knows no signal with VTK types here, so those are ours."""
    top = ElementTree.parse(path).getroot()
    connections = list(top.iter("connection"))
    for held in top.findall("connections"):
        top.remove(held)
    return QtCore.QByteArray(ElementTree.tostring(top)), connections


def _make_connections(path, connections, widgets):
    for connection in connections:
        parts = (connection.findtext(tag) for tag in ("sender", "signal", "receiver", "slot"))
        sender, signature, receiver, slot = parts
        for name in (sender, receiver):
            if name not in widgets:
                raise RuntimeError(f"{path}: a connection names the widget {name}, which is not in the file")
        target = getattr(widgets[receiver], slot.partition("(")[0])
        if hasattr(target, "emit"):
            target = target.emit
        speech.connect(widgets[sender], signature, target)


def loader_class(shown):
    class QUiLoader(QtUiTools.QUiLoader):
        def createWidget(self, className, parent=None, name=""):
            kind = custom_widgets.get(className) or shown.get(className)
            if className == "QWidget":
                kind = QtWidgets.QWidget
            if kind is None:
                raise RuntimeError(f"the host has no widget {className}")
            widget = kind(parent) if parent is not None else kind()
            widget.setObjectName(name)
            return widget

        def load(self, file, parent=None):
            path = file.fileName() if hasattr(file, "fileName") else str(file)
            text, connections = _without_connections(path)
            buffer = QtCore.QBuffer(text)
            speech.reading_ui.append(path)
            try:
                top = QtUiTools.QUiLoader.load(self, buffer, parent)
            finally:
                speech.reading_ui.pop()
            every = [top, *speech.find_children(top, QtCore.QObject)]
            for widget in every:
                if "_host_cpp" in vars(type(widget)):
                    _give_designer_properties(widget)
            _make_connections(path, connections, {widget.objectName: widget for widget in every if widget.objectName})
            return top

    return QUiLoader
