"""The main window: the panel of the selected module, and the selector."""

from __future__ import annotations

from PySide6 import QtWidgets

from Testing.gui.host import qt
from Testing.gui.host.speech import speak


@speak
class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    def __init__(self, host, parent):
        QtWidgets.QToolBar.__init__(self, parent)
        self.__dict__["_host"] = host

    selectedModule = property(lambda self: self._host.selected)

    def selectModule(self, name):
        self._host.select_module(name)


@speak
class qSlicerMainWindow(QtWidgets.QMainWindow):
    def __init__(self, host):
        QtWidgets.QMainWindow.__init__(self)
        self.setObjectName("qSlicerMainWindow")
        stack = qt.QStackedWidget()
        self.setCentralWidget(stack)
        selector = qSlicerModuleSelectorToolBar(host, self)
        self.__dict__.update(_stack=stack, _selector=selector)

    def moduleSelector(self):
        return self._selector

    def _show_module(self, widget):
        if self._stack.indexOf(widget) < 0:
            self._stack.addWidget(widget)
        self._stack.setCurrentWidget(widget)

    def _close_modules(self):
        while self._stack.count:
            self._stack.removeWidget(self._stack.widget(0))


def make_main_window(host):
    window = qSlicerMainWindow(host)
    host.__dict__["_window"] = window
    window.show()
    return window
