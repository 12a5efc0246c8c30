"""`slicer.app.coreIOManager()`: what `slicer.util.loadVolume`, `saveNode` and their like stand on."""

from __future__ import annotations

import re
from pathlib import Path

import slicer
from PySide6 import QtCore

from Testing.gui.host.speech import speak

_BY_ENDING = {
    ".seg.nrrd": "SegmentationFile",
    ".seq.nrrd": "SequenceFile",
    ".mrb": "SceneFile",
    ".mrml": "SceneFile",
    ".mrk.json": "MarkupsFile",
    ".fcsv": "MarkupsFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".stl": "ModelFile",
    ".ply": "ModelFile",
    ".obj": "ModelFile",
    ".h5": "TransformFile",
    ".tfm": "TransformFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
}
_BY_CLASS = {
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLVolumeNode": "VolumeFile",
    "vtkMRMLTransformNode": "TransformFile",
    "vtkMRMLModelNode": "ModelFile",
    "vtkMRMLMarkupsNode": "MarkupsFile",
    "vtkMRMLTableNode": "TableFile",
    "vtkMRMLSequenceNode": "SequenceFile",
}


@speak
class qSlicerCoreIOManager(QtCore.QObject):
    def __init__(self, scene):
        QtCore.QObject.__init__(self)
        self.__dict__["_scene"] = scene

    def fileType(self, path):
        name = Path(path).name.lower()
        return next((kind for ending, kind in _BY_ENDING.items() if name.endswith(ending)), "VolumeFile")

    def fileWriterFileType(self, node):
        return next((kind for name, kind in _BY_CLASS.items() if node.IsA(name)), "NoFile")

    def loadNodes(self, kind, properties, loaded, messages=None):
        path = properties["fileName"]
        if kind == "SceneFile":
            scene = self._scene.scene
            if path.endswith(".mrb"):
                return scene.ReadFromMRB(path)
            scene.SetURL(path)
            return bool(scene.Connect())
        if not Path(path).exists():
            return False
        node = getattr(self, "_load_" + kind)(path, properties)
        if node is None:
            return False
        if properties.get("name", node.GetName()) != node.GetName():
            node.SetName(self._scene.scene.GenerateUniqueName(properties["name"]))
        loaded.AddItem(node)
        return True

    def _load_VolumeFile(self, path, properties):
        name = properties.get("name") or Path(path).name.partition(".")[0]
        options = bool(properties.get("labelmap")) + 2 * bool(properties.get("center"))
        options += 4 * bool(properties.get("singleFile"))
        return self._scene.logics["Volumes"].AddArchetypeVolume(path, name, options)

    def _load_SegmentationFile(self, path, properties):
        return self._scene.logics["Segmentations"].LoadSegmentationFromFile(path, True)

    def _load_TransformFile(self, path, properties):
        return self._scene.logics["Transforms"].AddTransform(path, self._scene.scene)

    def _load_ModelFile(self, path, properties):
        return self._scene.logics["Models"].AddModel(path)

    def _load_MarkupsFile(self, path, properties):
        identifier = self._scene.logics["Markups"].LoadMarkups(path)
        return self._scene.scene.GetNodeByID(identifier) if identifier else None

    def _load_SequenceFile(self, path, properties):
        return self._scene.logics["Sequences"].AddSequence(path)

    def _load_TableFile(self, path, properties):
        return self._scene.logics["Tables"].AddTable(path)

    def saveNodes(self, kind, properties, messages=None):
        path = str(properties["fileName"])
        if kind == "SceneFile":
            scene = self._scene.scene
            if path.endswith(".mrml"):
                scene.SetRootDirectory(str(Path(path).parent))
                return bool(scene.Commit(path))
            return bool(scene.WriteToMRB(path))
        node = self._scene.scene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(path)
        node.GetStorageNode().SetFileName(path)
        return bool(node.GetStorageNode().WriteData(node))

    def fileWriterExtensions(self, node):
        formats = node.CreateDefaultStorageNode().GetSupportedWriteFileTypes()
        return tuple(formats.GetValue(index) for index in range(formats.GetNumberOfValues()))

    def extractKnownExtension(self, path, node):
        known = [ending for one in self.fileWriterExtensions(node) for ending in re.findall(r"\.[\w.]+", one)]
        return max((ending for ending in known if path.lower().endswith(ending)), key=len, default="")

    def exportNodes(self, identifiers, paths, properties, harden=False, messages=None):
        for identifier, path in zip(identifiers, paths):
            node = self._scene.scene.GetNodeByID(identifier)
            if harden and node.GetParentTransformNode() is not None:
                raise NotImplementedError("the host does not harden what it exports")
            storage = node.CreateDefaultStorageNode()
            storage.SetFileName(str(path))
            storage.SetScene(slicer.mrmlScene)
            if not storage.WriteData(node):
                return False
        return True
