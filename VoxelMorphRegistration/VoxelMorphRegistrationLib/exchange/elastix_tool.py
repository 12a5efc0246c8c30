"""A real elastix, for the transforms that only it has: the `transformix` program, or the itk-elastix package.

itk-elastix runs in a process of its own: its ITK and SimpleITK's or Slicer's in one process register the same file
types twice.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import SimpleITK as sitk

from ..errors import DependencyMissing, InputError
from ..space.grid import Grid

_LONGEST = 600  # seconds
_ITK_ELASTIX = """
import pathlib, sys, itk
reference, parameters, output = sys.argv[1:]
maps = itk.ParameterObject.New()
maps.ReadParameterFile(parameters)
filter = itk.TransformixFilter.New(Input=itk.imread(reference, itk.F), TransformParameterObject=maps)
filter.SetComputeDeformationField(True)
filter.SetOutputDirectory(str(pathlib.Path(output).parent))
filter.Update()
itk.imwrite(filter.GetOutputDeformationField(), output)
"""

#: elastix' own classes beyond those that are read here (its Components/Transforms, version 5.2).
_CLASSES = {
    "AdvancedAffineTransform", "AffineDTITransform", "AffineLogStackTransform", "AffineLogTransform",
    "BSplineStackTransform", "BSplineTransformWithDiffusion", "DeformationFieldTransform", "EulerStackTransform",
    "ExternalTransform", "MultiBSplineTransformWithNormal", "RecursiveBSplineTransform", "SplineKernelTransform",
    "TranslationStackTransform", "WeightedCombinationTransform",
}  # fmt: skip


def deformation_by_elastix(parameters: Path, reference: Grid, kind: str) -> sitk.Image:
    """The deformation field of a chain as elastix computes it on the grid in its parameter file.

    Raises DependencyMissing when there is no elastix here, InputError when it refuses the file.
    """
    if " " not in kind and kind not in _CLASSES:
        raise InputError(
            f"{parameters}: elastix has no transform of class {kind!r}; copy the file again, or run "
            f"transformix -def all -tp {parameters} -out FOLDER with what made it, and give its deformationField"
        )
    ways = ((_transformix, shutil.which("transformix")), (_itk_elastix, _has_itk_elastix()))
    commands = [command for command, here in ways if here]
    if not commands:
        raise DependencyMissing(
            f"{parameters}: a {kind} is evaluated by elastix itself, which is not here; put transformix on the PATH, or"
            " (outside Slicer): pip install itk-elastix"
        )
    said = ""
    for command in commands:
        with tempfile.TemporaryDirectory() as folder:
            try:
                done = subprocess.run(
                    command(parameters, reference, folder),
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=_LONGEST,
                )
            except subprocess.TimeoutExpired:
                said = f"it did not end within {_LONGEST // 60} minutes"
                continue
            fields = sorted(Path(folder).glob("deformationField.*"))
            if done.returncode == 0 and fields:
                return sitk.Cast(sitk.ReadImage(str(fields[0])), sitk.sitkVectorFloat32)
            said = _error_summary(done.stdout + done.stderr)
    raise InputError(
        f"{parameters}: elastix could not evaluate it ({said}); run transformix -def all -tp {parameters} -out FOLDER"
        " with a version that can, and give its deformationField"
    )


def _transformix(parameters: Path, reference: Grid, folder: str) -> list[str]:
    return ["transformix", "-def", "all", "-tp", str(parameters), "-out", folder]


def _itk_elastix(parameters: Path, reference: Grid, folder: str) -> list[str]:
    image = Path(folder) / "reference.mha"
    sitk.WriteImage(reference.empty_image(sitk.sitkFloat32), str(image))
    return [sys.executable, "-c", _ITK_ELASTIX, str(image), str(parameters), f"{folder}/deformationField.mha"]


def _error_summary(output: str) -> str:
    """elastix ends on "Errors occurred"; what it lacks stands before."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    reasons = [line for line in lines if "not installed" in line or "Description" in line] or lines[-1:]
    return reasons[-1] if reasons else "no message"


def _has_itk_elastix() -> bool:
    try:
        metadata.version("itk-elastix")
    except metadata.PackageNotFoundError:
        return False
    return True
