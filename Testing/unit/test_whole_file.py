"""Files that appear whole or not at all."""

from __future__ import annotations

import pytest

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.files.atomic import whole_file


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path):
    with whole_file(tmp_path / "0000.nii.gz") as partial:
        partial.write_text("half")
        assert not (tmp_path / "0000.nii.gz").exists()
        assert partial.name.endswith(".nii.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["0000.nii.gz"]


def test_a_file_that_is_readable_by_others_stays_so(tmp_path):
    (tmp_path / "other").write_text("")
    with whole_file(tmp_path / "mine") as partial:
        partial.write_text("")
    assert (tmp_path / "mine").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("ITK says\nNo space left on device")]
)
def test_what_was_there_stays_when_writing_fails(tmp_path, error):
    (tmp_path / "0000.nrrd").write_text("old")
    with pytest.raises(InputError, match="0000.nrrd: cannot be written .No space left on device.;"):
        with whole_file(tmp_path / "0000.nrrd") as partial:
            partial.write_text("new")
            raise error
    assert [path.name for path in tmp_path.iterdir()] == ["0000.nrrd"]
    assert (tmp_path / "0000.nrrd").read_text(encoding="utf-8") == "old"


def test_an_interrupted_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with whole_file(tmp_path / "0000.nrrd"):
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
