"""What of Slicer's scripted-module classes goes without Qt: enough to open the module file and use its logic."""

from __future__ import annotations

import types
import unittest


def stand_in(set_module):
    """Give `set_module(name, module)` a `slicer.ScriptedLoadableModule` and a `slicer.i18n`."""
    scripted, i18n = types.ModuleType("slicer.ScriptedLoadableModule"), types.ModuleType("slicer.i18n")

    class ScriptedLoadableModule:
        def __init__(self, parent):
            self.parent = parent

    class ScriptedLoadableModuleWidget:
        def __init__(self, parent=None):
            self.parent = parent

    class ScriptedLoadableModuleLogic:
        pass

    class ScriptedLoadableModuleTest(unittest.TestCase):
        pass

    for kind in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(scripted, kind.__name__, kind)
    i18n.tr = lambda text: text
    i18n.translate = lambda context, text: text
    for module in (scripted, i18n):
        set_module(module.__name__, module)
