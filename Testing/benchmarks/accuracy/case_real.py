"""Pairs that were really taken: a liver that breathes, a heart that beats, hippocampi and lungs of two people.

What is known of them are landmarks set by hand or labels drawn by experts. No network was trained on these images. They
may not be passed on: they are read from the folder beside this checkout, and left out where it is absent.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from Testing.benchmarks.accuracy.cases import SHARED, Case, Unavailable

_REFINE = 100
_LIVERS = (("18", "cyc_1_10"), ("18", "cyc_3_10"), ("19", "cyc_1_6"), ("19", "cyc_1_9"))
_HEARTS = ("101", "102", "104", "105")
_HIPPOCAMPI = (("003", "004"), ("008", "003"), ("004", "006"))
_LUNGS = (("0004", "0006"),)


def pairs(one_of_each: bool = False, data: Path = SHARED) -> list[Case]:
    """The real pairs in `data`, group by group; a group whose files are not all there is left out with a line.

    `one_of_each`: the first pair of each group only.
    """
    cases = []
    for group in (_livers, _hearts, _hippocampi, _lungs):
        members = list(group(data))[: 1 if one_of_each else None]
        try:
            for case in members:
                _check(case)
        except Unavailable as reason:
            print(f"{members[0].group}: left out, {reason}", flush=True)
            continue
        cases += members
    return cases


def _livers(data: Path) -> Iterator[Case]:
    """4D MRI of free breathing (ETH Zurich, von Siebenthal et al. 2007): a breath's volume to the exhaled one."""
    for person, breath in _LIVERS:
        folder = data / "liver4d" / f"dataset{person}"
        yield _pair(
            f"liver {person} {breath}",
            "real liver, breathing",
            folder / "exhMaster.mha",
            folder / f"{breath}.mha",
            landmarks=(str(folder / "exhMasterLMliver.vtk"), str(folder / f"{breath}LMliver.vtk")),
        )


def _hearts(data: Path) -> Iterator[Case]:
    """Cine MR (test patients of ACDC), end systole to end diastole: right ventricle, myocardium, left ventricle."""
    for person in _HEARTS:
        folder = data / "cine" / person
        labels = {"ventricles and wall": (str(folder / "ed_labels.nii.gz"), str(folder / "es_labels.nii.gz"))}
        yield _pair(f"heart {person}", "real heart, beating", folder / "ed.nii.gz", folder / "es.nii.gz", labels=labels)


def _hippocampi(data: Path) -> Iterator[Case]:
    """T1 crops of two people (Medical Segmentation Decathlon): anterior and posterior part."""
    for fixed, moving in _HIPPOCAMPI:
        yield _two_people("hippocampus", "hippocampi", data / "hippocampus", fixed, moving, "parts", "labels")


def _lungs(data: Path) -> Iterator[Case]:
    """Proton MR of two people at 3.9 mm: five lobes."""
    for fixed, moving in _LUNGS:
        yield _two_people("lungs", "lungs", data / "lung_mri", fixed, moving, "lobes", "lobes")


def _two_people(name: str, group: str, folder: Path, fixed: str, moving: str, structures: str, ending: str) -> Case:
    labels = {structures: (str(folder / f"{fixed}_{ending}.nii.gz"), str(folder / f"{moving}_{ending}.nii.gz"))}
    return _pair(
        f"{name} {fixed} from {moving}",
        f"real {group} of two people",
        folder / f"{fixed}.nii.gz",
        folder / f"{moving}.nii.gz",
        labels=labels,
        align="affine",
    )


def _pair(name: str, group: str, fixed: Path, moving: Path, **known) -> Case:
    return Case(name, group, str(fixed), str(moving), refine=_REFINE, real=True, **known)


def _check(case: Case) -> None:
    known = [*(case.landmarks or ()), *(path for pair in case.labels.values() for path in pair)]
    for path in (case.fixed, case.moving, *known):
        if not Path(path).exists():
            raise Unavailable(f"{path} is not on this machine")
