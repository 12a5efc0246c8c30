"""What other libraries say when they fail, boiled down to the line that a person is shown."""

from __future__ import annotations

import errno
import pickle

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from VoxelMorphRegistrationLib.errors import error_summary

PLACE = "Exception thrown in SimpleITK {}: /tmp/ITK/Modules/IO/src/file.cxx:935:\n"
TORCH = "Weights only load failed. We changed the default value.\n{}\n\nCheck the documentation of torch.load."


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            'sitk::ERROR: Unable to determine ImageIO reader for "a.nrrd"',
            'Unable to determine ImageIO reader for "a.nrrd"',
        ),
        (
            "ITK ERROR: NrrdImageIO(0x55975294e200): Read: Error reading a.nrrd:\n[nrrd] nrrdLoad: trouble\n"
            "[nrrd] fread got only 3963 4-sized things, not 8000 (49.5375% of expected)\n",
            "[nrrd] fread got only 3963 4-sized things, not 8000 (49.5375% of expected)",
        ),
        (
            "ITK ERROR: MetaImageIO(0x55975295c420): File cannot be written: a.mha\nReason: No space left on device",
            "No space left on device",
        ),
        (
            "ITK ERROR: MetaImageIO(0x559): File cannot be read: a.mha for reading.\nReason: No such file",
            "File cannot be read: a.mha for reading.",
        ),
        (
            "ITK ERROR: TransformFileReaderTemplate(0000024F8A3B): Could not create Transform IO object for a.h5\n"
            "  Tried to create one of the following:\n    HDF5TransformIOTemplate\n  You probably failed to\n",
            "Could not create Transform IO object for a.h5",
        ),
        (
            "ITK ERROR: TransformFileReaderTemplate(0x563): Transform IO: TxtTransformIOTemplate\n"
            "   failed to read file: a.tfm\n",
            "failed to read file: a.tfm",
        ),
        (
            'ITK ERROR: TxtTransformIOTemplate(0x559): Could not create an instance of "Bent_double_3_3"\n'
            'The usual cause of this error is\n\t"AffineTransform_double_2_2"\n',
            'Could not create an instance of "Bent_double_3_3"',
        ),
        (
            "ITK ERROR: NiftiImageIO(0x559): ERROR: nifti library failed to write image: a.nii",
            "nifti library failed to write image: a.nii",
        ),
    ],
)
def test_of_simpleitks_lines_the_one_that_tells_the_reason_is_told(said, told):
    assert error_summary(RuntimeError(PLACE.format("Execute") + said)) == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.nrrd"), "No space left on device"),
        (OSError("the disk took only a part of it"), "the disk took only a part of it"),
        (RuntimeError("unexpected pos 704 vs 598\nframe #0: c10::Error\nframe #1: torch"), "unexpected pos 704 vs 598"),
        (
            pickle.UnpicklingError(TORCH.format("WeightsUnpickler error: Unsupported global: pathlib.PosixPath")),
            "Unsupported global: pathlib.PosixPath",
        ),
        (
            pickle.UnpicklingError(TORCH.format("your use case: WeightsUnpickler error: \n\nUnsupported operand 80")),
            "Unsupported operand 80",
        ),
        (EOFError(), "EOFError"),
        (RuntimeError(" \n\n"), "RuntimeError"),
        (ValueError("x" * 500), "x" * 160),
    ],
)
def test_of_other_errors_the_reason_is_told_and_never_nothing(error, told):
    assert error_summary(error) == told


def test_the_installed_libraries_speak_as_expected(tmp_path):
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((9, 9, 9)))
    sitk.WriteImage(image, str(tmp_path / "cut.nrrd"))
    (tmp_path / "cut.nrrd").write_bytes((tmp_path / "cut.nrrd").read_bytes()[:900])
    (tmp_path / "empty.tfm").touch()
    torch.save({"where": tmp_path}, tmp_path / "object.pt")
    calls = {
        "of expected": lambda: sitk.ReadImage(str(tmp_path / "cut.nrrd")),
        "failed to read file": lambda: sitk.ReadTransform(str(tmp_path / "empty.tfm")),
        "could not be opened": lambda: sitk.ReadTransform(str(tmp_path / "missing.tfm")),
        "Unsupported global": lambda: torch.load(tmp_path / "object.pt", weights_only=True),
    }
    for words, call in calls.items():
        with pytest.raises((RuntimeError, pickle.UnpicklingError)) as caught:
            call()
        assert words in error_summary(caught.value)
