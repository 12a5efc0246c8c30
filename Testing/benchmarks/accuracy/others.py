"""One registration by one other tool, in its own process: `python others.py METHOD REQUEST.json`.

The request holds {"fixed", "moving", "output", "contrast", "align"}; all methods get the same files and return a
displacement (LPS mm, fixed point + u = moving point) on the fixed grid. A pair that needs an affine start ("align":
"affine") gets one by SimpleITK where the method has none of its own. The seconds are the registration alone, an affine
start included: importing, reading and writing are not in them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from Testing.benchmarks.accuracy.cases import affine_start

THREADS = 2


class Clock:
    """Wall and processor seconds since it was made; the second do not suffer from what else the machine does."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def spent(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self._wall, "cpu_seconds": time.process_time() - self._cpu}


def ants_syn(fixed: sitk.Image, moving: sitk.Image, contrast: str) -> tuple[sitk.Image, dict[str, float]]:
    """antspyx' SyN with the schedule of ANTs' own antsRegistrationSyN.sh, 100x70x50x20.

    antspyx' default, 40x20x0, never looks at full resolution: it is several times faster and worse. Its affine is left
    out, the pair is aligned already. With cross-correlation in place of its default mutual information one abdomen
    takes more than ten minutes on one thread.
    """
    import ants

    one, other = (_ants_image(i) for i in (fixed, moving))
    clock = Clock()
    result = ants.registration(
        one,
        other,
        type_of_transform="SyNOnly",
        initial_transform="Identity",
        reg_iterations=(100, 70, 50, 20),
        random_seed=1,
    )
    spent = clock.spent()
    warp = next(p for p in result["fwdtransforms"] if p.endswith(".nii.gz"))
    field = sitk.ReadImage(warp, sitk.sitkVectorFloat32)
    return field, spent


def _ants_image(image: sitk.Image):
    import ants

    size = np.reshape(image.GetDirection(), (3, 3))
    return ants.from_numpy(
        sitk.GetArrayFromImage(image).transpose(2, 1, 0).copy(),
        origin=image.GetOrigin(),
        spacing=image.GetSpacing(),
        direction=size,
    )


def greedy_ncc(fixed: sitk.Image, moving: sitk.Image, contrast: str) -> tuple[sitk.Image, dict[str, float]]:
    """greedy with its published settings: NCC of radius 4 (MI is for affine only, so other contrasts get NCC too)."""
    from picsl_greedy import Greedy3D

    tool = Greedy3D()
    clock = Clock()
    tool.execute(
        f"-i fixed moving -d 3 -m NCC 4x4x4 -n {_greedy_levels(fixed, moving)} -s 2vox 0.5vox -o field "
        f"-threads {THREADS}",
        fixed=fixed,
        moving=moving,
        field=None,
    )
    spent = clock.spent()
    field = tool["field"]
    return sitk.Cast(field, sitk.sitkVectorFloat32), spent


def greedy_after_affine(fixed: sitk.Image, moving: sitk.Image, contrast: str) -> tuple[sitk.Image, dict[str, float]]:
    """greedy's own affine by the same NCC from the images' centres, then `greedy_ncc` from it; composed by greedy."""
    from picsl_greedy import Greedy3D

    tool = Greedy3D()
    clock = Clock()
    similarity = f"-m NCC 4x4x4 -n {_greedy_levels(fixed, moving)} -threads {THREADS}"
    tool.execute(
        f"-i fixed moving -d 3 -a -dof 12 -ia-image-centers {similarity} -o affine",
        fixed=fixed,
        moving=moving,
        affine=None,
    )
    tool.execute(f"-i fixed moving -d 3 -it affine {similarity} -s 2vox 0.5vox -o field", field=None)
    tool.execute("-d 3 -rf fixed -r field affine -rc composed", composed=None)
    spent = clock.spent()
    return sitk.Cast(tool["composed"], sitk.sitkVectorFloat32), spent


def _greedy_levels(*images: sitk.Image) -> str:
    """Iterations from coarse to fine, without the levels that leave an axis fewer than the four voxels greedy needs."""
    fewest = min(min(image.GetSize()) for image in images)
    levels = ("100", "50", "10")
    return "x".join(n for n, shrink in zip(levels, (4, 2, 1)) if fewest // shrink >= 4)


def elastix_default(fixed: sitk.Image, moving: sitk.Image, contrast: str) -> tuple[sitk.Image, dict[str, float]]:
    """itk-elastix: its default affine, then its default B-spline."""
    import itk

    settings = itk.ParameterObject.New()
    for kind in ("affine", "bspline"):
        parameters = settings.GetDefaultParameterMap(kind, 4, 10.0)
        # elastix 5.3's bending penalty crashes when its metrics run in threads; the result is the same without.
        parameters["UseMultiThreadingForMetrics"] = ["false"]
        settings.AddParameterMap(parameters)
    return _elastix(fixed, moving, settings)


def elastix_par0057(fixed: sitk.Image, moving: sitk.Image, contrast: str) -> tuple[sitk.Image, dict[str, float]]:
    """As users of liver sequences run it: recursive B-spline, advanced Mattes mutual information, 4 resolutions."""
    import itk

    settings = itk.ParameterObject.New()
    bspline = settings.GetDefaultParameterMap("bspline", 4, 10.0)
    changes = {
        "Transform": "RecursiveBSplineTransform",
        "Metric": "AdvancedMattesMutualInformation",
        "Registration": "MultiResolutionRegistration",
        "NumberOfHistogramBins": "32",
        "MaximumNumberOfIterations": "2000",
        "NumberOfSpatialSamples": "2048",
    }
    for key, value in changes.items():
        bspline[key] = [value]
    for key in ("Metric0Weight", "Metric1Weight"):
        if key in bspline:
            bspline.erase(key)
    settings.AddParameterMap(bspline)
    return _elastix(fixed, moving, settings)


def _elastix(fixed: sitk.Image, moving: sitk.Image, settings) -> tuple[sitk.Image, dict[str, float]]:
    import itk

    one, other = (_itk_image(image) for image in (fixed, moving))
    clock = Clock()
    registration = itk.ElastixRegistrationMethod.New(one, other)
    registration.SetParameterObject(settings)
    registration.SetNumberOfThreads(THREADS)
    registration.SetLogToConsole(False)
    registration.UpdateLargestPossibleRegion()
    spent = clock.spent()
    field = itk.transformix_deformation_field(other, registration.GetTransformParameterObject())
    result = sitk.GetImageFromArray(itk.array_from_image(field).astype(np.float32), isVector=True)
    result.CopyInformation(fixed)
    return result, spent


def _itk_image(image: sitk.Image):
    import itk

    result = itk.image_from_array(sitk.GetArrayFromImage(image))
    result.SetSpacing(image.GetSpacing())
    result.SetOrigin(image.GetOrigin())
    result.SetDirection(np.reshape(image.GetDirection(), (3, 3)))
    return result


def convex_adam(fixed: sitk.Image, moving: sitk.Image, contrast: str) -> tuple[sitk.Image, dict[str, float]]:
    """convexAdam's MIND variant with its defaults, at isotropic voxels of the finest spacing as its authors run it."""
    import torch
    from convexAdam.convex_adam_MIND import convex_adam_pt

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    spacing = min(fixed.GetSpacing())
    size = [max(int(round(n * s / spacing)), 1) for n, s in zip(fixed.GetSize(), fixed.GetSpacing())]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing([spacing] * 3)
    grid.SetOrigin(fixed.GetOrigin())
    grid.SetDirection(fixed.GetDirection())
    one, other = (
        sitk.GetArrayFromImage(sitk.Resample(i, grid, sitk.Transform(), sitk.sitkLinear, _lowest(i)))
        for i in (fixed, moving)
    )
    clock = Clock()
    voxels = convex_adam_pt(
        torch.from_numpy(one), torch.from_numpy(other), dtype=torch.float32, device=torch.device("cpu"), verbose=False
    )
    spent = clock.spent()
    axes = np.reshape(grid.GetDirection(), (3, 3)) * spacing
    field = sitk.GetImageFromArray(np.asarray(voxels)[..., ::-1] @ axes.T, isVector=True)
    field.CopyInformation(grid)
    return sitk.Cast(sitk.Resample(field, fixed, sitk.Transform(), sitk.sitkLinear, 0.0), sitk.sitkVectorFloat32), spent


def _lowest(image: sitk.Image) -> float:
    return float(sitk.GetArrayViewFromImage(image).min())


class Method(NamedTuple):
    """A tool's registration, the package that holds it, and whether it begins with an affine alignment of its own."""

    register: Callable[[sitk.Image, sitk.Image, str], tuple[sitk.Image, dict[str, float]]]
    package: str
    own_affine: bool = False


METHODS = {
    "ANTs SyN": Method(ants_syn, "antspyx"),
    "greedy NCC": Method(greedy_ncc, "picsl_greedy"),
    "greedy after affine": Method(greedy_after_affine, "picsl_greedy", own_affine=True),
    "elastix default": Method(elastix_default, "itk-elastix", own_affine=True),
    "elastix par0057-like": Method(elastix_par0057, "itk-elastix"),
    "convexAdam": Method(convex_adam, "convexAdam"),
}


def from_affine_start(
    method: Method, fixed: sitk.Image, moving: sitk.Image, contrast: str
) -> tuple[sitk.Image, dict[str, float]]:
    """`method` on the affinely aligned pair; its displacement from the fixed to the untouched moving image."""
    clock = Clock()
    start = affine_start(fixed, moving)
    before = clock.spent()
    aligned = sitk.Resample(moving, fixed, start, sitk.sitkLinear, _lowest(moving))
    field, spent = method.register(fixed, aligned, contrast)
    field.CopyInformation(fixed)
    bent = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    both = sitk.TransformToDisplacementField(
        sitk.CompositeTransform([start, bent]),
        sitk.sitkVectorFloat32,
        fixed.GetSize(),
        fixed.GetOrigin(),
        fixed.GetSpacing(),
        fixed.GetDirection(),
    )
    return both, {key: value + before[key] for key, value in spent.items()}


def main() -> None:
    import resource

    method = METHODS[sys.argv[1]]
    request = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    fixed, moving = (sitk.ReadImage(request[key], sitk.sitkFloat32) for key in ("fixed", "moving"))
    if request["align"] == "affine" and not method.own_affine:
        field, spent = from_affine_start(method, fixed, moving, request["contrast"])
    else:
        field, spent = method.register(fixed, moving, request["contrast"])
    if field.GetSize() != fixed.GetSize():
        raise SystemExit(f"{sys.argv[1]} returned a field of size {field.GetSize()} for a grid of {fixed.GetSize()}")
    field.CopyInformation(fixed)
    sitk.WriteImage(field, request["output"])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(request["output"]).with_suffix(".json").write_text(
        json.dumps({**spent, "memory_mb": memory, "version": version(method.package)})
    )


if __name__ == "__main__":
    main()
