"""The Segment Editor as far as other modules speak to it: `slicer.modules.segmenteditor` and its `editor`."""

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget


class SegmentEditor(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "Segment Editor"


class SegmentEditorWidget(ScriptedLoadableModuleWidget):
    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.layout.addWidget(self.editor)
        self._select_parameter_node()

    def _select_parameter_node(self):
        node = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.vtkMRMLSegmentEditorNode()
            node.SetSingletonTag("SegmentEditor")
            node = slicer.mrmlScene.AddNode(node)
        self.editor.setMRMLSegmentEditorNode(node)

    def enter(self):
        self._select_parameter_node()
        if not self.editor.segmentationNodeID():
            node = slicer.mrmlScene.GetFirstNode(None, "vtkMRMLSegmentationNode")
            self.editor.setSegmentationNode(node or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))

    def exit(self):
        self.editor.setActiveEffect(None)
