"""CTK's combo box, paths, texts and message box."""

from __future__ import annotations

import os

from PySide6 import QtWidgets
from PySide6.QtCore import Signal

from Testing.gui.host import qt
from Testing.gui.host.ctk_buttons import widget
from Testing.gui.host.values import Value


@widget
class ctkComboBox(qt.QComboBox):
    defaultText = Value("")
    forceDefault = Value(False)


@widget
class ctkPathLineEdit(QtWidgets.QWidget):
    """A path in an editable list of former paths, with a button that opens a file dialog."""

    Dirs, Files, Drives, NoSymLinks, Readable, Writable, Executable = 1, 2, 4, 8, 16, 32, 64
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    filters = Value(1 | 2)
    nameFilters, settingKey, label = Value(()), Value(""), Value("")
    showBrowseButton = Value(True, None, bool, lambda self: self._button.setVisible(self.showBrowseButton))
    showHistoryButton = Value(True, None, bool)

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        box, button = qt.QComboBox(), qt.QToolButton()
        box.setEditable(True)
        box.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        button.setText("...")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(box)
        row.addWidget(button)
        self.__dict__.update(_box=box, _button=button)
        box.currentTextChanged.connect(self.currentPathChanged.emit)
        button.clicked.connect(self.browse)

    currentPath = property(lambda self: self._box.currentText, lambda self, path: self._box.setCurrentText(str(path)))

    def browse(self):
        ask = (
            "getExistingDirectory" if self.filters & self.Dirs and not self.filters & self.Files else "getSaveFileName"
        )
        path = getattr(QtWidgets.QFileDialog, ask)(self, "Select a path", self.currentPath)
        if path:
            self.currentPath = path

    def addCurrentPathToHistory(self):
        if self.currentPath and self._box.findText(self.currentPath) < 0:
            self._box.addItem(self.currentPath)

    def retrieveHistory(self):
        pass

    def comboBox(self):
        return self._box


@widget
class ctkDirectoryButton(QtWidgets.QWidget):
    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    caption = Value("")

    def __init__(self, parent=None):
        QtWidgets.QWidget.__init__(self, parent)
        button = qt.QPushButton(".")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(button)
        self.__dict__.update(_button=button, _directory=os.path.abspath("."))
        button.clicked.connect(self.browse)

    text = property(lambda self: self._button.text, lambda self, value: self._button.setText(value))

    def _set(self, path):
        path = path if path in ("", ".") else os.path.abspath(path)
        if path != self._directory:
            self.__dict__["_directory"] = path
            self._button.setText(path)
            self.directoryChanged.emit(path)

    directory = property(lambda self: self._directory, lambda self, path: self._set(str(path)))

    def browse(self):
        path = QtWidgets.QFileDialog.getExistingDirectory(self, self.caption, self.directory)
        if path:
            self.directory = path
            self.directorySelected.emit(path)


@widget
class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    collapsed = Value(True)

    def setCollapsibleText(self, text):
        self.setHtml(text)


@widget
class ctkMessageBox(QtWidgets.QMessageBox):
    dontShowAgain = Value(False)
    dontShowAgainVisible = Value(False)
    dontShowAgainSettingsKey = Value("")
