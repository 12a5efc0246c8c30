"""`slicer.app` and the module manager behind it."""

from __future__ import annotations

import atexit
import shutil
import tempfile

import slicer
from PySide6 import QtCore, QtWidgets

from Testing.gui.host import qt
from Testing.gui.host.files import qSlicerCoreIOManager
from Testing.gui.host.speech import speak


@speak
class qSlicerModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = QtCore.Signal(str)


class _CommandOptions:
    noMainWindow = runPythonAndExit = testingEnabled = False


@speak
class qSlicerApplication(QtWidgets.QApplication):
    """One in a process: it stays when the host's Slicer is quit and started again, and `exit` only notes the status."""

    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)
    majorVersion, minorVersion, revision = 5, 13, "host"
    launcherExecutableFilePath = ""

    def __init__(self):
        QtWidgets.QApplication.__init__(self, ["SlicerHost"])
        folder = tempfile.mkdtemp(prefix="slicer-host-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
            QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, scope, folder)
        self.setOrganizationName("SlicerHost")
        self.setApplicationName("Slicer")
        self.__dict__.update(
            _manager=qSlicerModuleManager(), _folder=folder, _settings=qt.QSettings(), _options=_CommandOptions()
        )

    temporaryPath = property(lambda self: self._folder)
    slicerHome = property(lambda self: self._folder)

    def _begin(self, scene, layout_manager):
        self.__dict__.update(_scene=scene, _layout=layout_manager, _io=qSlicerCoreIOManager(scene))

    def coreIOManager(self):
        return self._io

    def layoutManager(self):
        return self._layout

    def applicationLogic(self):
        return self._scene.application

    def moduleLogic(self, name):
        return self._scene.logics.get(name)

    def openNodeModule(self, node, role="", context=""):
        from Testing.gui.host.core_modules import OPENS

        name = next((name for kind, name in OPENS.items() if node.IsA(kind)), None)
        if name is not None:
            self._open(name)
            getattr(slicer.modules, name.lower()).widgetRepresentation().setEditedNode(node, role, context)

    def moduleManager(self):
        return self._manager

    def settings(self):
        return self._settings

    userSettings = revisionUserSettings = settings

    def mrmlScene(self):
        return slicer.mrmlScene

    def testingEnabled(self):
        return False

    def translate(self, context, text, *rest):
        return text

    def commandOptions(self):
        return self._options

    def exit(self, status=0):
        self.__dict__["_status"] = status

    def quit(self):
        self.exit(0)
