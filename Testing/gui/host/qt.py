"""Slicer's `qt` module: everything of QtCore, QtGui and QtWidgets under one name, spoken as PythonQt speaks it."""

from __future__ import annotations

from PySide6 import QtGui

from Testing.gui.host import speech
from Testing.gui.host.ui_files import loader_class

_shown = speech.teach_pyside()
for _library in speech.LIBRARIES:
    globals().update({name: value for name, value in vars(_library).items() if not name.startswith("_")})
globals().update(_shown)
for _name in ("Signal", "Slot", "Property", "QSignalBlocker"):  # PySide6's own ways, or other ways in PythonQt.
    globals().pop(_name, None)

QUiLoader = loader_class(_shown)


class QColor(QtGui.QColor):
    def __init__(self, *arguments):
        if len(arguments) == 1 and isinstance(arguments[0], QtGui.QColor):
            arguments = (arguments[0].rgba64(),)
        super().__init__(*arguments)

    def name(self, *format_):
        return super().name(*(QtGui.QColor.NameFormat(value) for value in format_))
