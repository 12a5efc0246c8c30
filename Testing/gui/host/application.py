"""`slicer.app` and the module manager behind it."""

from __future__ import annotations

import tempfile
import types

import slicer
from PySide6 import QtCore, QtWidgets

from Testing.gui.host.speech import speak


@speak
class qSlicerModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = QtCore.Signal(str)
    host_signals = {"moduleAboutToBeUnloaded(QString)": "moduleAboutToBeUnloaded"}


@speak
class qSlicerApplication(QtCore.QObject):
    """Not a QApplication, for that one stays when the host's Slicer is quit and started again."""

    aboutToQuit = QtCore.Signal()
    startupCompleted = QtCore.Signal()
    lastWindowClosed = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)
    host_signals = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    majorVersion, minorVersion = 5, 13
    revision = "host"

    def __init__(self):
        super().__init__()
        self.__dict__["_manager"] = qSlicerModuleManager()
        self.__dict__["_folder"] = tempfile.mkdtemp(prefix="slicer-host-")
        self.__dict__["_cursors"] = 0
        self.__dict__["_settings"] = QtCore.QSettings(self._folder + "/Slicer.ini", QtCore.QSettings.Format.IniFormat)
        self.__dict__["_status"] = None

    temporaryPath = property(lambda self: self._folder)
    slicerHome = property(lambda self: self._folder)

    def moduleManager(self):
        return self._manager

    def settings(self):
        return self._settings

    userSettings = revisionUserSettings = settings

    def mrmlScene(self):
        return slicer.mrmlScene

    def processEvents(self, *flags):
        QtWidgets.QApplication.processEvents(*flags)

    def setOverrideCursor(self, cursor):
        self.__dict__["_cursors"] += 1

    def restoreOverrideCursor(self):
        self.__dict__["_cursors"] -= 1

    def testingEnabled(self):
        return False

    def translate(self, context, text, *rest):
        return text

    def commandOptions(self):
        return types.SimpleNamespace(noMainWindow=False, runPythonAndExit=False, testingEnabled=False)

    applicationName = "Slicer"
    launcherExecutableFilePath = ""

    def exit(self, status=0):
        self.__dict__["_status"] = status

    def quit(self):
        self.exit(0)


def _of_qt(name):
    def call(self, *arguments):
        return getattr(QtWidgets.QApplication, name)(*arguments)

    return call


for _name in ("topLevelWidgets", "activeWindow", "activeModalWidget", "focusWidget", "palette", "font", "clipboard"):
    setattr(qSlicerApplication, _name, _of_qt(_name))
for _name in ("keyboardModifiers", "mouseButtons", "primaryScreen", "screens", "style"):
    setattr(qSlicerApplication, _name, _of_qt(_name))
