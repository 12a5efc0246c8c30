"""The scene as Slicer's application has it: its singletons, its logics, and its habits when nodes come."""

from __future__ import annotations

import os

import slicer
import vtk

# Node classes that the core's subject hierarchy plugins put into the tree by themselves.
_IN_THE_TREE = (
    "vtkMRMLScalarVolumeNode",
    "vtkMRMLSegmentationNode",
    "vtkMRMLTransformNode",
    "vtkMRMLModelNode",
    "vtkMRMLMarkupsNode",
    "vtkMRMLTableNode",
    "vtkMRMLTextNode",
    "vtkMRMLPlotChartNode",
    "vtkMRMLPlotSeriesNode",
)
SLICE_VIEWS = ("Red", "Green", "Yellow")


class Scene:
    """Slicer's one scene and the logics that observe it, kept for as long as the application lives."""

    def __init__(self, folder):
        self.scene = scene = slicer.vtkMRMLScene()
        cache = slicer.vtkCacheManager()
        cache.SetRemoteCacheDirectory(folder)
        cache.SetMRMLScene(scene)
        data = slicer.vtkDataIOManager()
        data.SetCacheManager(cache)
        scene.SetCacheManager(cache)
        scene.SetDataIOManager(data)
        scene.SetRootDirectory(os.path.expanduser("~"))
        self.application = slicer.vtkSlicerApplicationLogic()
        os.makedirs(os.path.join(folder, "share", "ColorFiles"), exist_ok=True)
        self.application.SetHomeDirectory(folder)
        self.application.SetShareDirectory("share")
        self.application.SetMRMLScene(scene)
        self.layout = slicer.vtkMRMLLayoutLogic()
        self.layout.SetMRMLScene(scene)
        self.slices = {}
        for name in SLICE_VIEWS:
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLScene(scene)
            logic.AddSliceNode(name)
            self.slices[name] = logic
        plot_view = slicer.vtkMRMLPlotViewNode()
        plot_view.SetSingletonTag("PlotView1")
        plot_view.SetName("PlotView1")
        self.plot_view = scene.AddNode(plot_view)
        self.logics = {name: self._logic(name, kind) for name, kind in _LOGICS.items()}
        factory = slicer.vtkSegmentationConverterFactory.GetInstance()
        if factory.ConstructRepresentationObjectByRepresentation("Binary labelmap") is None:
            factory.RegisterConverterRule(slicer.vtkBinaryLabelmapToClosedSurfaceConversionRule())
            factory.RegisterConverterRule(slicer.vtkClosedSurfaceToBinaryLabelmapConversionRule())
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        self._keep = (cache, data)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def added(caller, event, node):
            self._into_tree(node)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def leaves(caller, event, node):
            self._out_of_tree(node)

        scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added)
        scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, leaves)

    def _logic(self, name, kind):
        logic = getattr(slicer, kind)()
        self.application.SetModuleLogic(name, logic)
        logic.SetMRMLApplicationLogic(self.application)
        logic.SetMRMLScene(self.scene)
        return logic

    def _into_tree(self, node):
        if self.scene.IsImporting() or node.GetHideFromEditors():
            return
        if any(node.IsA(kind) for kind in _IN_THE_TREE):
            tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
            if not tree.GetItemByDataNode(node):
                tree.CreateItem(tree.GetSceneItemID(), node)

    def _out_of_tree(self, node):
        if self.scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        item = tree.GetItemByDataNode(node)
        if item:
            tree.RemoveItem(item, False, False)


_LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Volumes": "vtkSlicerVolumesLogic",
}
