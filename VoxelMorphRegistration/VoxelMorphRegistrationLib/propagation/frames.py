"""Where the frames of a sequence come from: one file, a folder, a pattern, a list of files or of images.

Frames are read one at a time, when they are asked for, and not kept.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import SimpleITK as sitk

from ..errors import InputError
from ..files.detached import check_no_pipe
from ..files.frame_lists import FrameList, read_frame_list
from ..files.images import read_image
from ..files.series import open_series
from ..files.series_file import SeriesFile
from ..space.checks import check_geometry, check_scalar
from .frame_names import doubts_among, frames_among, frames_in_folder, frames_in_list
from .frame_order import told_order


class Frames:
    """A sequence of scalar images of one dimension, read one by one.

    `len(frames)`, `frames[i]` (raises InputError, naming the frame, when it cannot be read).

    Attributes:
        title: what a person calls them all, where that is not the name of their file or folder; '' else.
        index_name, index_unit, index_type: of what distinguishes the frames, as in a Slicer sequence.
        preparation: what has to be done before the first frame can be read (see `prepare`), '' for nothing.
        order: that of the files, where their names can be read in two ways; '' else.
        notes: what is doubtful about which files are the frames.
    """

    title = ""
    index_name, index_unit, index_type = "frame", "", "numeric"
    preparation = ""
    order = ""
    notes: Sequence[str] = ()

    def prepare(self, told: Callable[[float], None] = lambda share: None) -> None:
        """Do what has to be done before the first frame can be read; reading one does it otherwise.

        `told` is called with the share, 0 to 1, that is done. Raises InputError when it cannot be done.
        """

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> sitk.Image:
        raise NotImplementedError

    def name(self, index: int) -> str:
        """What a person calls the frame: its file, and its number in it where it holds several."""
        return f"frame {index}"

    def value(self, index: int) -> str:
        """The frame's index value (a time, a trigger delay, ...), as text."""
        return str(index)

    def file(self, index: int) -> Path | None:
        """The file the frame is read from; None for images in memory."""
        return None


class ImageFrames(Frames):
    """Images in memory."""

    def __init__(self, images: Sequence[sitk.Image]) -> None:
        self._images = list(images)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> sitk.Image:
        image = self._images[index]
        check_scalar(image, self.name(index))
        check_geometry(image, self.name(index))
        return image


class FileFrames(Frames):
    """One file (or DICOM folder) a frame.

    Args:
        found: the folder or pattern they were found by, and so put in order by their names; '' for a list.
    """

    def __init__(self, paths: Sequence[str | Path], found: str = "") -> None:
        self._paths, self._found = [Path(path) for path in paths], found

    @property
    def order(self) -> str:  # type: ignore[override]
        return told_order(self._paths) if self._found else ""

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        return doubts_among(self._paths, self._found) if self._found else ()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> sitk.Image:
        return read_image(self._paths[index])

    def name(self, index: int) -> str:
        name = self._paths[index].name.encode("utf-8", "backslashreplace").decode()
        return f"frame {index} ({name})"

    def file(self, index: int) -> Path:
        return self._paths[index]


class ListedFrames(FileFrames):
    """One file a frame, with the index values of a list."""

    def __init__(self, listed: FrameList, paths: Sequence[Path]) -> None:
        super().__init__(paths)
        self._values, self.title = listed.values, listed.sequence
        self.index_name, self.index_unit, self.index_type = listed.index_name, listed.index_unit, listed.index_type

    def name(self, index: int) -> str:
        return f"frame {index} of {self.title}" if self.title else super().name(index)

    def value(self, index: int) -> str:
        return self._values[index]


class SeriesFrames(Frames):
    """All frames in one file."""

    def __init__(self, series: SeriesFile) -> None:
        self._series = series
        self.index_name, self.index_unit, self.index_type = series.index_name, series.index_unit, series.index_type

    @property
    def preparation(self) -> str:  # type: ignore[override]
        return self._series.preparation

    def prepare(self, told: Callable[[float], None] = lambda share: None) -> None:
        self._series.prepare(told)

    def __len__(self) -> int:
        return self._series.count

    def __getitem__(self, index: int) -> sitk.Image:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._series.read(index)

    def name(self, index: int) -> str:
        return f"frame {index} of {self._series.path.name}"

    def value(self, index: int) -> str:
        return self._series.values[index]

    def file(self, index: int) -> Path:
        return self._series.path


class ReadableFrames(Sequence):
    """The frames for a purpose that any frames will do for: one that cannot be read is replaced by the nearest that
    can. Slices are not taken.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> sitk.Image:  # type: ignore[override]
        error: InputError | None = None
        for other in sorted(range(len(self)), key=lambda number: abs(number - index % len(self))):
            try:
                return self._frames[other]
            except InputError as found:
                error = error or found
        raise error or IndexError(index)


def open_frames(
    source: Frames | str | Path | Sequence[str | Path | sitk.Image],
    without: Collection[str | Path] = (),
    shared: bool = False,
) -> Frames:
    """The frames of `source`; none of them is read yet.

    Args:
        source: a 4D file or `.seq.nrrd`; a folder of images, or of DICOM folders, in natural order (2 before 10); a
            pattern such as 'scan/*.nii.gz'; a `.txt` file with one path a line, relative to it; a `.json` list with
            the frames' index values (`files.frame_lists`); a list of paths or of images. What is named like a frame of
            a folder and cannot be read is a frame that fails, so that those behind it keep their numbers.
        without: files that are no frames although they may lie among them: the segmentation, a mask.
        shared: other processes read the sequence too, and what `preparation` says is done once for all of them.

    Raises InputError when nothing is there, what is there is no sequence, or a folder mixes kinds of images.
    """
    if isinstance(source, Frames):
        return source
    if not isinstance(source, (str, os.PathLike)):
        return _from_list(list(source), without)
    path = Path(source)
    if path.is_dir():
        return FileFrames(frames_in_folder(path, without), str(path))
    if path.suffix.lower() == ".txt" and path.exists():
        return FileFrames(frames_in_list(_listed(path), str(path), without))
    if path.suffix.lower() == ".json" and path.exists():
        listed = read_frame_list(path)
        return ListedFrames(listed, frames_in_list(listed.files, str(path), without))
    if not path.exists() and glob.has_magic(str(source)):
        found = [Path(name) for name in glob.glob(str(source), recursive=True)]
        if not found:
            raise InputError(f"{source}: no file has such a name; check the pattern, and put it in quotes")
        return FileFrames(frames_among(found, str(source), without), str(source))
    return SeriesFrames(open_series(path, shared))


def _from_list(items: list, without: Collection[str | Path]) -> Frames:
    if not items:
        raise InputError("sequence: the list of frames is empty; give at least one frame")
    if all(isinstance(item, sitk.Image) for item in items):
        return ImageFrames(items)
    if all(isinstance(item, (str, os.PathLike)) for item in items):
        return FileFrames(frames_in_list([Path(item) for item in items], "sequence", without))
    raise InputError("sequence: a list of frames holds either paths or images; give one kind")


def _listed(path: Path) -> list[Path]:
    check_no_pipe(path)
    # Names that are no UTF-8 are found so, and refused one by one.
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()]
    paths = [path.parent / line for line in lines if line and not line.startswith("#")]
    if not paths:
        raise InputError(f"{path}: lists no file; write one path a line")
    return paths
