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
from ..grid import Grid

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


def deformation_by_elastix(parameters: Path, reference: Grid, kind: str) -> sitk.Image:
    """The deformation field of a chain as elastix computes it on the grid in its parameter file.

    Raises DependencyMissing when there is no elastix here, InputError when it refuses the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = shutil.which("transformix")
        if program:
            command = [program, "-def", "all", "-tp", str(parameters), "-out", folder]
        elif _has_itk_elastix():
            image = Path(folder) / "reference.mha"
            sitk.WriteImage(reference.empty_image(sitk.sitkFloat32), str(image))
            command = [
                sys.executable,
                "-c",
                _ITK_ELASTIX,
                str(image),
                str(parameters),
                f"{folder}/deformationField.mha",
            ]
        else:
            raise DependencyMissing(
                f"{parameters}: a {kind} is evaluated by elastix itself, which is not here; put transformix on the "
                "PATH, or (outside Slicer): pip install itk-elastix"
            )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        fields = sorted(Path(folder).glob("deformationField.*"))
        if done.returncode or not fields:
            reason = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            raise InputError(
                f"{parameters}: elastix could not evaluate it ({reason[-1].strip() if reason else 'no message'}); try "
                f"transformix -def all -tp {parameters} -out FOLDER"
            )
        return sitk.Cast(sitk.ReadImage(str(fields[0])), sitk.sitkVectorFloat32)


def _has_itk_elastix() -> bool:
    try:
        metadata.version("itk-elastix")
    except metadata.PackageNotFoundError:
        return False
    return True
