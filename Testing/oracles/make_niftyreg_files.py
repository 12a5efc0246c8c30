"""Make the small NiftyReg results in `niftyreg_files/`, with the NiftyReg programs on the PATH.

NiftyReg has no package on PyPI or in Debian, so tests compare with these committed files where its programs are
missing. Made with NiftyReg 2.0 (commit d518b8ac). For every geometry: the images, the affine of reg_aladin, the fields
of reg_f3d as deformation and displacement by reg_transform, a control point grid, and what reg_resample makes of each.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.support.exchange_scenes import grid, rotation, rotation_2d, texture

_HERE = Path(__file__).resolve().parent

FOLDER = _HERE / "niftyreg_files"
#: Smaller than the other scenes, because these files are committed.
SMALL = {
    "oblique": (grid((20, 18, 14), (3.4, 3.8, 4.6), rotation(25)), grid((18, 22, 16), (3.7, 3.2, 4.2), rotation(-15))),
    "left-handed": (
        grid((18, 19, 15), (3.8, 3.6, 4.3), rotation(12) @ np.diag([1, 1, -1.0])),
        grid((19, 20, 17), (3.6, 3.6, 4.0), np.eye(3)),
    ),
    "2D": (grid((36, 30), (2.0, 2.5), rotation_2d(20)), grid((33, 37), (2.4, 2.0), rotation_2d(-10))),
}


def run(program: str, *arguments: object) -> None:
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)


def make(name: str, folder: Path) -> None:
    fixed, moving = SMALL[name]
    images = {"fixed": texture(fixed), "moving": texture(moving, shift=3.0, bend=2.0)}
    for which, image in images.items():
        sitk.WriteImage(image, str(folder / f"{which}.nii.gz"), useCompression=True)
    reference = ("-ref", folder / "fixed.nii.gz")
    both = (*reference, "-flo", folder / "moving.nii.gz")
    with tempfile.TemporaryDirectory() as scratch:
        run("reg_aladin", *both, "-aff", folder / "affine.txt", "-res", f"{scratch}/unused.nii.gz", "-voff")
        points = ("-cpp", folder / "control_points.nii.gz", "-sx", "-5", "-maxit", "40", "-ln", "2")
        run("reg_f3d", *both, "-aff", folder / "affine.txt", *points, "-res", f"{scratch}/unused.nii.gz", "-voff")
    for flag, field in (("-def", "deformation"), ("-disp", "displacement")):
        run("reg_transform", *reference, flag, folder / "control_points.nii.gz", folder / f"{field}.nii.gz")
    for transform in ("affine.txt", "deformation.nii.gz"):
        result = folder / f"warped_by_{transform.split('.')[0]}.nii.gz"
        run("reg_resample", *both, "-trans", folder / transform, "-res", result, "-inter", 1, "-pad", 0)
    land(folder, fixed)


def land(folder: Path, fixed) -> None:
    """Landmarks in RAS mm, and where `reg_transform -land` takes them. It knows only 3D."""
    if fixed.dimension != 3:
        return
    index = np.random.default_rng(5).uniform(0.3, 0.7, (5, 3)) * (np.asarray(fixed.size) - 1)
    points = (index @ fixed.axes.T + np.asarray(fixed.origin)) * (-1, -1, 1)
    np.savetxt(folder / "points.txt", points, fmt="%.6f")
    run(
        "reg_transform",
        *("-ref", folder / "fixed.nii.gz"),
        "-land",
        folder / "affine.txt",
        folder / "points.txt",
        folder / "points_moved.txt",
    )


if __name__ == "__main__":
    for program in ("reg_aladin", "reg_f3d", "reg_transform", "reg_resample"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is not on the PATH")
    for name in SMALL:
        folder = FOLDER / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(name, folder)
