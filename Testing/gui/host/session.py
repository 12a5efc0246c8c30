"""Starts the host, opens a module in it as Slicer does, and quits it."""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import sys
import time
import traceback
import types
from dataclasses import dataclass, field
from pathlib import Path

_STAND_IN = Path(__file__).resolve().parent / "stand_in"
_host: Host | None = None


@dataclass
class TickGaps:
    """How far apart the window's timer ticked, in seconds: a frozen window is a large gap. Time for which the window
    was ready and other programs had the processors is not counted, where the system tells it.
    """

    largest: float = 0.0
    ticks: int = 0


@dataclass
class Host:
    """Slicer's application as a test sees it. `dialogs` holds every message shown and the answers to come; `exceptions`
    what escaped from a slot, which Slicer would only have printed.
    """

    slicer_python: Path | None
    dialogs: object
    exceptions: list[str] = field(default_factory=list)
    modules: dict[str, object] = field(default_factory=dict)
    selected: str | None = None
    scene: object = None

    def open_module(self, path):
        """Load the scripted module file at `path` as Slicer does at its start, and select it; returns its widget."""
        module = self.load_module(path)
        self.select_module(module.name)
        return self.widget(module.name)

    def load_module(self, path):
        from Testing.gui.host.scripted_module import load

        module = load(Path(path))
        self.modules[module.name] = module
        return module

    def _load_core_modules(self):
        from Testing.gui.host import core_modules

        self.modules.update(core_modules.make(self.scene))
        for path in sorted((Path(__file__).resolve().parent / "modules").glob("*.py")):
            self.load_module(path)

    def widget(self, name):
        """The module's Python widget, made at the first call as Slicer does when a module is first opened."""
        return self.modules[name].widgetRepresentation().self()

    def select_module(self, name):
        if self.selected is not None and self.selected != name:
            self.modules[self.selected].widgetRepresentation().exit()
        if name not in self.modules:
            raise AssertionError(f"there is no module {name!r} to open; there are {', '.join(sorted(self.modules))}")
        self.selected, shown = name, self.modules[name].widgetRepresentation()
        self.window._show_module(shown)
        shown.enter()

    @property
    def window(self):
        import slicer

        return slicer.util.mainWindow()

    def click_plot(self, series, index):
        """Click the point of a plot series with this index in the plot view."""
        import slicer
        import vtk

        names, selections, points = vtk.vtkStringArray(), vtk.vtkCollection(), vtk.vtkIdTypeArray()
        names.InsertNextValue(series.GetID())
        points.InsertNextValue(index)
        selections.AddItem(points)
        slicer.app.layoutManager().plotWidget(0).plotView().dataSelected.emit(names, selections)

    def process(self, seconds=0.0):
        """Let the window live for a while."""
        import slicer

        end = time.monotonic() + seconds
        while True:
            slicer.app.processEvents()
            if time.monotonic() >= end:
                return
            time.sleep(0.002)

    def wait_until(self, condition, seconds=10.0, what=""):
        """Let the window live until the condition holds; fails when it does not within the time, which is meant for a
        computer that has nothing else to do.
        """
        end = time.monotonic() + seconds * crowding()
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what or condition}")
            self.process(0.005)

    @contextlib.contextmanager
    def tick_gaps(self, every_ms=10):
        """Measures the largest gap between two ticks of a window timer while the block runs.

        The block must let the window live (`process`, `wait_until`); time it spends elsewhere counts as a gap, as it
        would for a person.
        """
        from PySide6 import QtCore

        gaps, last = TickGaps(), _own_time()
        timer = QtCore.QTimer()
        timer.setInterval(every_ms)

        def tick():
            nonlocal last
            now = _own_time()
            gaps.largest, gaps.ticks, last = max(gaps.largest, now - last), gaps.ticks + 1, now

        timer.timeout.connect(tick)
        timer.start()
        try:
            yield gaps
        finally:
            gaps.largest = max(gaps.largest, _own_time() - last)
            timer.stop()

    def clear(self):
        """Close the scene and forget messages and settings; the modules stay open."""
        import slicer

        slicer.app.userSettings().clear()
        slicer.mrmlScene.Clear(0)
        self.process()
        self.dialogs.clear()
        self.exceptions.clear()

    def quit(self):
        """End the application as File > Exit does: modules are left and cleaned up, their windows and processes go."""
        import slicer

        if self.selected in self.modules:
            self.modules[self.selected].widgetRepresentation().exit()
        slicer.app.aboutToQuit.emit()
        for name, module in self.modules.items():
            slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(name)
            if hasattr(module, "_unload"):
                module._unload()
        self.modules.clear()
        self.selected = None
        self.window._close_modules()
        gc.collect()  # A process without a parent ends with the Python object that holds it.
        self.process()
        slicer.mrmlScene.Clear(0)
        self._load_core_modules()

    def save_scene(self, path):
        """File > Save as one .mrb."""
        import slicer

        assert slicer.mrmlScene.WriteToMRB(str(path)), f"{path} was not written"

    def load_scene(self, path):
        """Close the scene and load one from a .mrb."""
        import slicer

        slicer.mrmlScene.Clear(0)
        assert slicer.mrmlScene.ReadFromMRB(str(path)), f"{path} was not read"
        self.process()


_waits: dict[int, int] = {}


def waited_for_a_processor():
    """Seconds for which threads of this process could have run and other programs had the processors, since it began;
    None where the system does not tell (Linux does, in schedstat).

    Of all threads, because the window's waits for another one that holds Python while it has no processor.
    """
    try:
        threads = os.listdir("/proc/self/task")
        for thread in threads:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # It has ended.
                told = Path(f"/proc/self/task/{thread}/schedstat").read_text(encoding="ascii")
                _waits[int(thread)] = int(told.split()[1])
    except OSError:
        return None
    return sum(_waits.values()) / 1e9 if _waits else None


def _own_time():
    """Seconds that pass while this process computes or waits, and not while others have the processors."""
    return time.monotonic() - (waited_for_a_processor() or 0.0)


def crowding():
    """How many processes want each processor of this computer, 1 where it has time."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) if hasattr(os, "getloadavg") else 1.0


def _import_python_files(slicer_python):
    """`slicer.util`, parameterNodeWrapper and their like: Slicer's own from a checkout, else slicer-core's and ours."""
    import slicer

    for name in [name for name in sys.modules if name.startswith("slicer.util")]:
        del sys.modules[name]
    folder = _STAND_IN if slicer_python is None else slicer_python / "Base" / "Python" / "slicer"
    slicer.__path__.insert(0, str(folder))
    for name in ("util", "i18n", "parameterNodeWrapper", "ScriptedLoadableModule"):
        if importlib.util.find_spec(f"slicer.{name}") is not None:
            importlib.import_module(f"slicer.{name}")
    if slicer_python is not None:
        connectors = "SubjectHierarchyLib/parameterNodeWrapper/guiConnectors.py"
        path = slicer_python / "Modules" / "Loadable" / "SubjectHierarchy" / connectors
        spec = importlib.util.spec_from_file_location("subject_hierarchy_connectors", path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def start(slicer_python=None) -> Host:
    """Start the host in this process, once: `qt`, `ctk` and `slicer.app` are there afterwards.

    `slicer_python` is a checkout of Slicer, whose own Python files are then used; the environment variable
    SLICER_CHECKOUT names it as well. Without, a small stand-in of ours takes their place.
    """
    global _host
    if _host is not None:
        return _host
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    chosen = slicer_python or os.environ.get("SLICER_CHECKOUT") or None
    chosen = None if chosen is None else Path(chosen).resolve()
    import slicer

    from Testing.gui.host import ctk, qt

    sys.modules["qt"], sys.modules["ctk"] = qt, ctk
    from Testing.gui.host import application

    slicer.app = application.qSlicerApplication()
    from Testing.gui.host import core_modules, dialogs, qmrml, scripted_module, views, windows
    from Testing.gui.host.scene import Scene

    scene = Scene(slicer.app.temporaryPath)
    slicer.mrmlScene = scene.scene
    slicer.app._begin(scene, views.qSlicerLayoutManager(scene))

    core = types.ModuleType("MRMLCorePython")
    core.__dict__.update({name: value for name, value in vars(slicer).items() if name.startswith("vtk")})
    sys.modules["MRMLCorePython"] = core
    slicer.modules = sys.modules["slicer.modules"] = types.ModuleType("slicer.modules")
    slicer.moduleNames = types.SimpleNamespace()
    for library in (qmrml, scripted_module, windows, views, core_modules):
        for name, kind in vars(library).items():
            if name.startswith(("qMRML", "qSlicer")):
                setattr(slicer, name, kind)
    shown = dialogs.Dialogs()
    dialogs.catch(shown)
    _import_python_files(chosen)
    _host = Host(chosen, shown, scene=scene)
    windows.make_main_window(_host)
    slicer.app.__dict__["_open"] = _host.select_module
    _host._load_core_modules()
    sys.excepthook = lambda *error: _host.exceptions.append("".join(traceback.format_exception(*error)))
    return _host
