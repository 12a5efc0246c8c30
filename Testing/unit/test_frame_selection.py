"""Which frames are wanted, as a person writes it."""

from __future__ import annotations

import pytest

from VoxelMorphRegistrationLib.errors import InputError
from VoxelMorphRegistrationLib.propagation.frame_selection import select_frames


def test_frames_are_chosen_as_python_slices_do():
    assert select_frames(None, 4) == [0, 1, 2, 3]
    assert select_frames("1:9:3", 10) == [1, 4, 7]
    assert select_frames("-2:", 10) == [8, 9]
    assert select_frames("::-5", 10) == [4, 9]
    assert select_frames("-1", 10) == [9]
    assert select_frames("7,0:3,-1,2", 10) == [0, 1, 2, 7, 9]


def test_a_list_of_frames_takes_numbers_and_slices_a_line_and_leaves_comments_out(tmp_path):
    path = tmp_path / "redo.txt"
    path.write_text("# frames marked redo\n7  # jumped\n\n2:4\n7\n-1\n", encoding="utf-8")
    assert select_frames(f"@{path}", 10) == [2, 3, 7, 9]


@pytest.mark.parametrize(
    "content, reason",
    [("# nothing\n", "names no frame"), ("3\n12\n", "no such frame among 10"), ("three\n", "not a slice")],
)
def test_a_list_of_frames_that_means_nothing_is_refused_with_its_file(tmp_path, content, reason):
    path = tmp_path / "redo.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=rf"redo\.txt.*{reason}"):
        select_frames(f"@{path}", 10)
    with pytest.raises(InputError, match="cannot be read"):
        select_frames(f"@{tmp_path / 'missing.txt'}", 10)


@pytest.mark.parametrize("text", ["a", "1:2:3:4", "5:5", "1:2:0", "10", "1.5"])
def test_a_choice_that_means_nothing_is_refused(text):
    with pytest.raises(InputError, match="frames"):
        select_frames(text, 10)
