"""Which widget shows which type, by the table of Slicer's developer guide ("GUI Connection"), and no other pair."""

from __future__ import annotations

import enum
import pathlib
import typing

import ctk
import qt
import slicer
from slicer.parameterNodeWrapper.annotations import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange
from slicer.parameterNodeWrapper.storage import node_classes, split

_INFINITE = {int: (-(2**31), 2**31 - 1), float: (float("-inf"), float("inf"))}


class Connector:
    """Reads and writes one widget's value through a property, and tells of its changes."""

    def __init__(self, widget, signal, name):
        self.widget, self._signal, self._name = widget, signal, name
        self._callback = None

    def read(self):
        return getattr(self.widget, self._name)

    def write(self, value):
        if self.read() != value:
            setattr(self.widget, self._name, value)

    def on_changed(self, callback):
        signal = getattr(self.widget, self._signal) if self._signal else None
        if signal is not None and self._callback is not None:
            signal.disconnect(self._callback)
        self._callback = None if callback is None else lambda *arguments: callback()
        if signal is not None and self._callback is not None:
            signal.connect(self._callback)


class _Number(Connector):
    def __init__(self, widget, kind, annotations):
        super().__init__(widget, "valueChanged", "value")
        self._kind = kind
        low, high = _INFINITE[kind]
        bounds = set()
        for annotation in annotations:
            if isinstance(annotation, (Minimum, WithinRange)):
                low = annotation.minimum
                bounds.add("low")
            if isinstance(annotation, (Maximum, WithinRange)):
                high = annotation.maximum
                bounds.add("high")
            if isinstance(annotation, Decimals):
                widget.decimals = annotation.value
            if isinstance(annotation, SingleStep):
                widget.singleStep = annotation.value
        if kind is int and type(widget) not in (qt.QSpinBox, qt.QSlider):
            widget.decimals = 0
            low, high = float(low), float(high)
        if len(bounds) < 2 and type(widget) in (qt.QSlider, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget):
            raise RuntimeError(f"a {type(widget).__name__} needs a minimum and a maximum: annotate with WithinRange")
        widget.minimum, widget.maximum = low, high

    def read(self):
        return self._kind(super().read())


class _Choice(Connector):
    def __init__(self, widget, texts, values):
        super().__init__(widget, "currentIndexChanged", "currentIndex")
        self._values = values
        kept = widget.currentIndex
        widget.clear()
        for text in texts:
            widget.addItem(text)
        if 0 <= kept < len(values):
            widget.currentIndex = kept

    def read(self):
        return self._values[self.widget.currentIndex]

    def write(self, value):
        self.widget.currentIndex = self._values.index(value)


class _Path(Connector):
    def __init__(self, widget, signal, name, kind):
        super().__init__(widget, signal, name)
        self._kind = kind

    def read(self):
        return self._kind(super().read())

    def write(self, value):
        if self.read() != value:
            setattr(self.widget, self._name, str(value))


class _PlainText(Connector):
    def read(self):
        return self.widget.toPlainText()

    def write(self, value):
        if self.read() != value:
            self.widget.setPlainText(value)


class _Node(Connector):
    def __init__(self, widget, classes):
        super().__init__(widget, "currentNodeChanged", "currentNode")
        # Slicer makes a node of each class to ask its name, which an abstract class (vtkMRMLMarkupsNode) refuses.
        widget.nodeTypes = [kind().GetClassName() for kind in classes]

    def read(self):
        return self.widget.currentNode()

    def write(self, value):
        if self.read() is not value:
            self.widget.setCurrentNode(value)


def connector(widget, hint):
    """The connector of a widget for a type hint; raises where Slicer has none."""
    kind, annotations = split(hint)
    found = _connector(type(widget), widget, kind, annotations)
    if found is None:
        raise RuntimeError(f"Slicer connects no {type(widget).__name__} with {kind}")
    return found


def _connector(shown, widget, kind, annotations):
    if kind is bool and shown in (qt.QCheckBox, ctk.ctkCheckBox):
        return Connector(widget, "toggled", "checked")
    if kind is bool and shown in (qt.QPushButton, ctk.ctkCheckablePushButton):
        widget.checkable = True
        return Connector(widget, "toggled", "checked")
    if kind is int and shown in (qt.QSlider, qt.QSpinBox):
        return _Number(widget, kind, annotations)
    doubles = (qt.QDoubleSpinBox, ctk.ctkSliderWidget, ctk.ctkDoubleSlider, ctk.ctkDoubleSpinBox)
    if kind in (int, float) and shown in (*doubles, slicer.qMRMLSliderWidget, slicer.qMRMLSpinBox):
        return _Number(widget, kind, annotations)
    if shown in (qt.QComboBox, ctk.ctkComboBox):
        return _combo_box(widget, kind, annotations)
    if kind is str and shown is qt.QLineEdit:
        return Connector(widget, "textChanged", "text")
    if kind is str and shown is qt.QLabel:
        return Connector(widget, None, "text")
    if kind is str and shown is qt.QTextEdit:
        return _PlainText(widget, "textChanged", "")
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath):
        if shown is ctk.ctkPathLineEdit:
            return _Path(widget, "currentPathChanged", "currentPath", kind)
        if shown is ctk.ctkDirectoryButton:
            return _Path(widget, "directoryChanged", "directory", kind)
    lists = (slicer.qMRMLNodeComboBox, slicer.qMRMLSubjectHierarchyComboBox, slicer.qMRMLSubjectHierarchyTreeView)
    # Slicer's connector knows typing.Union[A, B, None] and not A | B | None.
    if shown in lists and node_classes(kind) and typing.get_origin(kind) in (None, typing.Union):
        return _Node(widget, node_classes(kind))
    return None


def _combo_box(widget, kind, annotations):
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        values = list(kind)
        label: typing.Callable = getattr(kind, "label", lambda value: value.name)
        return _Choice(widget, [label(value) for value in values], values)
    choice = next((annotation for annotation in annotations if isinstance(annotation, Choice)), None)
    if kind in (int, float, str, bool):
        if choice is None:
            raise RuntimeError("a combo box needs the Choice annotation")
        values = list(choice.choices)
        return _Choice(widget, [str(value) for value in values], values)
    return None
