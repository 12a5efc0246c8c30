"""Registers and transforms with itk-elastix, in a process of its own: `elastix_worker.py FOLDER CASE...`.

For each case FOLDER/CASE holds fixed.mha, moving.mha, and maps.txt with the transforms' names; the worker writes
elastix' TransformParameters files, result.mha (transformix' linear warp) and deformationField.nii.gz and .mha there. A
case with ours.txt instead of maps.txt is only transformed. points.txt is carried to outputpoints.txt.
"""

from __future__ import annotations

import sys
from pathlib import Path

import itk


def parameter_object(names: list[str]) -> itk.ParameterObject:
    maps = itk.ParameterObject.New()
    for name in names:
        known = name in ("translation", "rigid", "affine", "bspline")
        values = maps.GetDefaultParameterMap(name if known else "rigid", 2, 20.0)
        if not known:
            values["Transform"] = [name]
        if name.endswith("+"):
            values = maps.GetDefaultParameterMap(name[:-1], 2, 20.0)
            values["HowToCombineTransforms"] = ["Add"]
        values["MaximumNumberOfIterations"] = ["25"]
        values["NumberOfSpatialSamples"] = ["512"]
        values["FinalBSplineInterpolationOrder"] = ["1"]
        maps.AddParameterMap(values)
    return maps


def run(folder: Path) -> None:
    fixed, moving = (itk.imread(str(folder / f"{name}.mha"), itk.F) for name in ("fixed", "moving"))
    if (folder / "ours.txt").exists():
        found = itk.ParameterObject.New()
        found.ReadParameterFile(str(folder / "ours.txt"))
    else:
        maps = parameter_object((folder / "maps.txt").read_text(encoding="utf-8").split())
        _, found = itk.elastix_registration_method(
            fixed,
            moving,
            parameter_object=maps,
            output_directory=str(folder),
            log_to_console=False,
            number_of_threads=1,
        )
    itk.imwrite(itk.transformix_filter(moving, found), str(folder / "result.mha"))
    field = itk.transformix_deformation_field(moving, found)
    for name in ("deformationField.nii.gz", "deformationField.mha"):
        itk.imwrite(field, str(folder / name))
    if (folder / "points.txt").exists():
        itk.transformix_pointset(
            moving, found, fixed_point_set_file_name=str(folder / "points.txt"), output_directory=str(folder)
        )


if __name__ == "__main__":
    for case in sys.argv[2:]:
        run(Path(sys.argv[1]) / case)
