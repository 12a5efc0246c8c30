"""Slicer's four classes of the module. They hold no computation: that is VoxelMorphRegistrationLib's.

Slicer must be able to open this file before torch or voxelmorph are installed, so nothing that is pip-installed is
imported here, and the library is imported when a method needs it.
"""

import logging
import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

HOMEPAGE = "https://github.com/SlicerVoxelMorph/SlicerVoxelMorph"


class VoxelMorphRegistration(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("VoxelMorph Registration")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        self.parent.dependencies = []
        self.parent.contributors = ["SlicerVoxelMorph developers"]
        self.parent.helpText = (
            _(
                "Registers volumes with VoxelMorph networks: the result is a transform that moves volumes, "
                "segmentations, points and models, and one segmentation is carried through all frames of a volume "
                "sequence."
            )
            + f' <a href="{HOMEPAGE}">{HOMEPAGE}</a>'
        )
        self.parent.acknowledgementText = _(
            "VoxelMorph: G. Balakrishnan, A. Zhao, M. R. Sabuncu, J. Guttag, A. V. Dalca, IEEE Transactions on Medical "
            "Imaging 38(8), 2019. This extension is not endorsed by the authors of VoxelMorph."
        )
        # The Sample Data module is there once every module was loaded.
        if hasattr(slicer, "app"):
            slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    from VoxelMorphRegistrationLib.widgets.sample_data import register

    register(Path(__file__).parent / "Resources" / "Icons" / "BreathingPhantom.png")


class VoxelMorphRegistrationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The window's side; what the panel does is VoxelMorphRegistrationLib.widgets.panel's."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.ui = None
        self.panel = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/VoxelMorphRegistration.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = VoxelMorphRegistrationLogic()
        from VoxelMorphRegistrationLib.widgets.panel import Panel, preload_soon

        self.panel = Panel(self.ui)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.initializeParameterNode()
        preload_soon(self.panel)

    def cleanup(self):
        self.removeObservers()
        if self.panel is not None:
            self.panel.stop()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        """A run goes on while another module is open; the choices are kept in the parameter node."""

    def initializeParameterNode(self):
        from VoxelMorphRegistrationLib.widgets.parameters import parameters_of

        node = self.logic.getParameterNode()
        shown = self.panel.parameters
        if shown is None or shown.parameterNode is not node:
            self.panel.set_parameters(parameters_of(node))

    def onSceneStartClose(self, caller, event):
        self.panel.scene_closes()

    def onSceneEndClose(self, caller, event):
        self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        # The parameter node is the same and refers to nodes that are there only now.
        self.panel.set_parameters(None)
        self.initializeParameterNode()

    def onReload(self):
        for name in [name for name in sys.modules if name.split(".")[0] == "VoxelMorphRegistrationLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class VoxelMorphRegistrationLogic(ScriptedLoadableModuleLogic):
    """Everything blocks and opens no window, unless `interactive` is True (it may then ask whether to install
    packages).

    What a person can mend is raised as VoxelMorphRegistrationLib.InputError, with one line that says what to do; a
    missing package as VoxelMorphRegistrationLib.DependencyMissing, with the command that installs it.
    """

    def registerVolumes(
        self,
        fixedVolumeNode,
        movingVolumeNode,
        outputTransformNode=None,
        outputVolumeNode=None,
        model=None,
        align="rigid",
        initialTransformNode=None,
        fixedVolumeMaskNode=None,
        movingLabelsNode=None,
        outputLabelsNode=None,
        outputInverseTransformNode=None,
        labelInterpolation="nearest",
        networkSpacing=None,
        refine=0,
        device="auto",
        seed=0,
        interactive=False,
    ):
        """Register two volumes; returns the transform node (a new one unless given).

        Everything is in world coordinates: the transform leads from where the fixed volume lies to where the moving
        volume lies, with the parents that both hang under. `applyTransform(movingVolumeNode, transform)` lets the
        moving volume follow it where it hangs: the topmost of its parents (or the volume itself, when it has none) is
        put under it.
        """
        self.ensureInstalled(interactive)
        from VoxelMorphRegistrationLib.mrml.registration import register_volumes
        from VoxelMorphRegistrationLib.mrml.registration_nodes import RegistrationNodes
        from VoxelMorphRegistrationLib.registration.settings import Settings

        nodes = RegistrationNodes(
            fixed=fixedVolumeNode,
            moving=movingVolumeNode,
            moving_labels=movingLabelsNode,
            mask=fixedVolumeMaskNode,
            initial_transform=initialTransformNode,
            transform=outputTransformNode,
            warped_volume=outputVolumeNode,
            warped_labels=outputLabelsNode,
            inverse=outputInverseTransformNode,
        )
        settings = Settings(
            align=align,
            network_spacing=networkSpacing,
            refine=refine,
            device=device,
            seed=seed,
            label_interpolation=labelInterpolation,
        )
        return register_volumes(nodes, model, settings)

    def applyTransform(self, node, transformNode):
        """Let a volume, segmentation, model or points follow a result; the parents it hangs under already stay in
        effect.
        """
        from VoxelMorphRegistrationLib.mrml.transforms import hang_under

        hang_under(node, transformNode)

    def propagateSegmentation(
        self,
        volumeSequenceNode,
        segmentationNode,
        referenceFrame=0,
        outputSequenceNode=None,
        model=None,
        strategy="direct",
        keyframeStep=8,
        frames=None,
        align="none",
        maskNode=None,
        maskMargin=None,
        outputAsLabels=None,
        outputTransformSequenceNode=None,
        pointsNode=None,
        outputPointsSequenceNode=None,
        surfaceNode=None,
        outputSurfaceSequenceNode=None,
        tableNode=None,
        labelInterpolation="nearest",
        networkSpacing=None,
        refine=0,
        device="auto",
        seed=0,
        progress=None,
        interactive=False,
        keyframes=None,
    ):
        """Carry a segmentation (or label volume) of one frame of a volume sequence to all its frames; returns the
        output sequence. With None for it, points or a surface are carried alone, and theirs is returned.

        The results are linked into the input's own sequence browser; its selected item stays. Other results are node
        references of the output: VoxelMorph.Transforms (a new sequence where outputTransformSequenceNode is True),
        .Points, .Surface, .Table, .Plot. `frames` is a list of frame numbers, a slice as text ("0:100:2") or a
        file of them ("@redo.txt", as a run's page exports it).
        With maskMargin (mm) images are compared only so far around the segmentation.
        `progress` is called as progress(done, total, result) after each frame; returning False stops.
        """
        self.ensureInstalled(interactive)
        from VoxelMorphRegistrationLib.mrml.propagation import propagate_segmentation
        from VoxelMorphRegistrationLib.mrml.propagation_nodes import SequenceInput, SequenceOutput
        from VoxelMorphRegistrationLib.propagation.frame_selection import select_frames
        from VoxelMorphRegistrationLib.propagation.settings import PropagationSettings

        if isinstance(frames, str):
            frames = select_frames(frames, volumeSequenceNode.GetNumberOfDataNodes())
        inputs = SequenceInput(
            volumeSequenceNode, segmentationNode, referenceFrame, pointsNode, surfaceNode, mask=maskNode
        )
        outputs = SequenceOutput(
            outputSequenceNode,
            as_labels=outputAsLabels,
            transforms=outputTransformSequenceNode or False,
            points=outputPointsSequenceNode,
            surface=outputSurfaceSequenceNode,
            table=tableNode,
        )
        settings = PropagationSettings.of(
            strategy=strategy,
            keyframe_step=keyframeStep,
            select=frames,
            mask_margin=maskMargin,
            align=align,
            label_interpolation=labelInterpolation,
            network_spacing=networkSpacing,
            refine=refine,
            device=device,
            seed=seed,
            keyframes=keyframes,
            detail="everywhere" if outputTransformSequenceNode else "segmentation",
        )
        return propagate_segmentation(inputs, outputs, settings, model, progress)

    def loadRun(self, folder, volumeSequenceNode=None, asSegmentations=False):
        """Make a finished folder of `slicer-voxelmorph propagate` a scene; returns an object with its nodes.

        The results browse along with the given volume sequence, else in a browser of their own.
        """
        from VoxelMorphRegistrationLib.mrml.runs import load_run

        return load_run(folder, volumeSequenceNode, asSegmentations)

    def addBreathingPhantom(self):
        """A body that breathes, ten frames, to try the module on; returns its sequence and a segmentation."""
        from VoxelMorphRegistrationLib.mrml.breathing_phantom import add_breathing_phantom

        return add_breathing_phantom()

    def importDisplacement(
        self,
        pathOrArray,
        transformNode=None,
        referenceVolumeNode=None,
        convention=None,
        movingVolumeNode=None,
        alignCorners=None,
        arrayAxes=None,
    ):
        """A displacement of another tool (file, numpy array, opened .npz, torch tensor) in a new or an existing
        transform node.

        Arrays carry no geometry: give the fixed volume as the reference. Conventions: itk, slicer, ants, elastix,
        niftyreg, freesurfer, voxelmorph, torch, monai.
        """
        from VoxelMorphRegistrationLib.mrml.exchange import import_displacement

        return import_displacement(
            pathOrArray, transformNode, referenceVolumeNode, convention, movingVolumeNode, alignCorners, arrayAxes
        )

    def exportDisplacement(
        self,
        transformNode,
        path,
        convention="itk",
        referenceVolumeNode=None,
        movingVolumeNode=None,
        alignCorners=None,
        arrayAxes=None,
    ):
        """Write a transform node as a displacement of another tool; returns what that tool cannot hold, as messages."""
        from VoxelMorphRegistrationLib.mrml.exchange import export_displacement

        return export_displacement(
            transformNode,
            path,
            convention,
            referenceVolumeNode,
            movingVolumeNode,
            align_corners=alignCorners,
            array_axes=arrayAxes,
        )

    def ensureInstalled(self, interactive=False):
        """Raise DependencyMissing when a package is missing; with `interactive`, offer to install it first."""
        from VoxelMorphRegistrationLib import installation

        lacking = installation.missing()
        if lacking and interactive:
            question = _("These Python packages will be installed into Slicer:") + "\n\n" + "\n".join(lacking)
            if slicer.util.confirmOkCancelDisplay(question, _("VoxelMorph Registration")):
                installation.install(log=logging.info)
                return
        installation.require()


class VoxelMorphRegistrationTest(ScriptedLoadableModuleTest):
    """Run inside Slicer by its self-test framework; what needs packages that are not installed is left out, and said
    so.
    """

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        for test in (
            self.test_displacementPullsAndComesBack,
            self.test_registerVolumes,
            self.test_propagateSegmentation,
        ):
            self.setUp()
            test()

    def _canCompute(self):
        from VoxelMorphRegistrationLib import installation

        lacking = installation.missing()
        if lacking:
            logging.warning("Registration was not tested: %s", ", ".join(lacking))
        return not lacking

    def test_displacementPullsAndComesBack(self):
        from VoxelMorphRegistrationLib.mrml import self_test

        self_test.a_displacement_pulls_and_comes_back(VoxelMorphRegistrationLogic())

    def test_registerVolumes(self):
        from VoxelMorphRegistrationLib.mrml import self_test

        if self._canCompute():
            self_test.a_pair_is_registered(VoxelMorphRegistrationLogic())

    def test_propagateSegmentation(self):
        from VoxelMorphRegistrationLib.mrml import self_test

        if self._canCompute():
            self_test.a_segmentation_is_propagated(VoxelMorphRegistrationLogic())
