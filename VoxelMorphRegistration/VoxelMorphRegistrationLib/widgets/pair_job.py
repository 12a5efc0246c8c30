"""A pair of volume nodes registered by the worker."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from .job import JobEnd, OnEnd, Progress
from .steps import Steps
from .worker_job import WorkerJob
from .worker_process import WorkerProcess

if TYPE_CHECKING:
    from ..mrml.registration_nodes import RegistrationNodes

_STAGES = {
    "reading": lambda: _("Reading the volumes ..."),
    "registering": lambda: _("Registering ..."),
    "warping": lambda: _("Warping ..."),
    "writing": lambda: _("Writing the result ..."),
}


class PairJob(WorkerJob):
    """Writes the volumes, has them registered, and puts the result into the nodes. `facts` of its end: `transform`, the
    node, and `report`, as `register --report` writes it.
    """

    def __init__(
        self, worker: WorkerProcess, nodes: RegistrationNodes, options: list[str], progress: Progress, on_end: OnEnd
    ) -> None:
        """Raises InputError, naming the node, for a choice that cannot work; nothing is begun then."""
        from ..mrml.pair_images import PairImages

        super().__init__(worker, progress, on_end)
        self._given, self._options = PairImages.of(nodes), options
        self._folder = Path(tempfile.mkdtemp(prefix="voxelmorph-", dir=slicer.app.temporaryPath))
        self._files: dict[str, Path] = {}
        self._finish: Mapping[str, Any] | None = None
        self._transform: slicer.vtkMRMLTransformNode | None = None
        progress(None, _("Handing over the volumes ..."))
        self._steps = Steps(self._written(), lambda share: None, self._register, self._failed)

    def _written(self) -> Generator[Any, Any, None]:
        from ..mrml.beside import Beside
        from ..mrml.job_files import own_image_file, write_for_worker

        seen, nodes = self._given.seen, self._given.nodes
        for name, image, node in (
            ("fixed", seen.fixed, nodes.fixed),
            ("moving", seen.moving, nodes.moving),
            ("labels", seen.labels, nodes.moving_labels),
            ("mask", seen.mask, None),
        ):
            if image is not None:
                own = None if node is None else own_image_file(node, image)
                path = self._folder / f"{name}.nrrd"
                self._files[name] = own or (yield Beside(partial(write_for_worker, image, path)))

    def _register(self) -> None:
        folder, nodes = self._folder, self._given.nodes
        wanted = {"output-transform": "transform"}
        wanted |= {"output-volume": "warped"} if nodes.warped_volume is not None else {}
        wanted |= {"output-labels": "warped-labels"} if nodes.moving_labels is not None else {}
        paths = {**self._files, **{option: folder / f"{name}.nrrd" for option, name in wanted.items()}}
        arguments = [word for option, path in paths.items() for word in (f"--{option}", str(path))]
        self._progress(None, _("Starting ..."))
        self._submit("register", arguments + self._options)

    def _heard(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "stage":
            self._progress(event["share"], _STAGES.get(event["name"], lambda: "")())
        elif event["event"] == "finish":
            self._finish = event
        elif event["event"] == "cancelled":
            self._end(JobEnd("cancelled"))
        elif event["event"] == "error":
            self._end(JobEnd("failed", self._in_nodes(event["message"]), event["details"]))
        elif event["event"] == "done":
            self._steps = Steps(self._put(), lambda item: None, self._done, self._failed)

    def _put(self) -> Generator[Any, Any, None]:
        """Read the results and replace what the nodes hold."""
        from ..files.displacements import read_displacement
        from ..files.images import read_image
        from ..mrml.beside import Beside
        from ..mrml.pair_images import Results

        assert self._finish is not None
        files = self._finish["files"]
        displacement = yield Beside(partial(read_displacement, files["transform"]))
        warped = (yield Beside(partial(read_image, files["volume"]))) if "volume" in files else None
        labels = (yield Beside(partial(read_image, files["labels"]))) if "labels" in files else None
        results = Results(displacement, None, warped, labels)
        self._transform = yield from self._given.put_in_pieces(results, self._finish["report"])
        yield Beside(self._clean)  # Files of large volumes take their time.
        yield

    def _done(self) -> None:
        assert self._finish is not None
        self._end(JobEnd("done", facts={"transform": self._transform, "report": self._finish["report"]}))

    def _in_nodes(self, message: str) -> str:
        """The message with the nodes' names for the files that a person has never seen."""
        nodes = (("fixed", self._given.nodes.fixed), ("moving", self._given.nodes.moving))
        named = [(f"--{name} {self._files[name]}", node.GetName()) for name, node in nodes if name in self._files]
        message = message.replace(" ".join(option for option, _name in named), ", ".join(name for _, name in named))
        for option, name in named:
            message = message.replace(option, name).replace(option.partition(" ")[2], name)
        return message

    def _clean(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
