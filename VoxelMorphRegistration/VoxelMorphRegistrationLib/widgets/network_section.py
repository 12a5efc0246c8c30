"""The row of networks: what each is for, under which licence, whether it is on this computer, and how it gets there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .chosen_nodes import volume_to_look_at
from .job import Progress
from .parameters import Parameters
from .words import size
from .worker_process import WorkerProcess

_BUNDLED = ""  # of the parameter: whatever network is bundled as the default one
_DEFAULT = "any-anatomy"
_MUCH = 2.0


class NetworkSection:
    """Shows the catalogue, which the worker reads, and keeps the choice in the parameter `network`: '' for the bundled
    network, else a name of the catalogue or the path of a weights file.
    """

    def __init__(self, ui: Any, worker: Callable[[], WorkerProcess], ready: Callable[[], bool], progress: Progress):
        """`ready`: whether the worker can be started (asks to install what it needs); `progress`: of a download."""
        self._ui, self._worker, self._ready, self._progress = ui, worker, ready, progress
        self._parameters: Parameters | None = None
        self._entries: dict[str, Mapping[str, Any]] = {}
        self._files: dict[str, Mapping[str, Any] | str] = {}  # of own files, the entry or what is wrong with it
        self._asked = False
        self._filling = False
        ui.networkSelector.connect("currentIndexChanged(int)", lambda index: self._choose(index))
        ui.networkDownloadButton.connect("clicked(bool)", lambda clicked: self._download())
        ui.networkRemoveButton.connect("clicked(bool)", lambda clicked: self._remove())
        ui.networkFileButton.connect("clicked(bool)", lambda clicked: self._own_file())
        ui.advancedSection.connect("contentsCollapsed(bool)", lambda collapsed: self._opened(collapsed))

    def show(self, parameters: Parameters | None) -> None:
        """Show the choice that the parameters hold, and whether it fits the volume that is chosen."""
        self._parameters = parameters
        chosen = _BUNDLED if parameters is None else parameters.network
        names = [_BUNDLED, *(name for name in self._entries if name != _DEFAULT)]
        names += [chosen] if chosen not in names else []
        texts = [self._text(name) for name in names]
        box = self._ui.networkSelector
        self._filling = True
        if [box.itemText(number) for number in range(box.count)] != texts:
            box.clear()
            for name, text in zip(names, texts):
                box.addItem(text, name)
        box.setCurrentIndex(names.index(chosen))
        self._filling = False
        entry = self._entries.get(chosen or _DEFAULT)
        if self._asked and entry is None and chosen not in self._files and Path(chosen).suffix:
            self._ask_of_file(chosen)
        self._ui.networkInfo.text = self._described_file(chosen) if entry is None else self._described(entry)
        self._ui.networkDownloadButton.enabled = entry is not None and entry["state"] == "downloadable"
        self._ui.networkRemoveButton.enabled = entry is not None and entry["state"] == "installed"

    def _opened(self, collapsed: bool) -> None:
        from .. import installation

        if not collapsed and not self._asked and not installation.missing():
            self._ask()

    def _ask(self) -> None:
        """Have the worker read the catalogue."""
        self._asked = True
        self._worker().submit("models", ["list", "--json"], self._listed)

    def _listed(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "done":
            self._entries = {entry["name"]: entry for entry in json.loads(event["output"])}
            self.show(self._parameters)
        elif event["event"] == "error":
            self._asked = False
            self._ui.networkInfo.text = event["message"]

    def _ask_of_file(self, path: str) -> None:
        """Have the worker read a file of weights: what it says of itself, or that it is no network."""
        self._files[path] = ""

        def read(event: Mapping[str, Any]) -> None:
            if event["event"] == "done":
                self._files[path] = json.loads(event["output"])
            elif event["event"] == "error":
                self._files[path] = event["message"]
            self.show(self._parameters)

        self._worker().submit("models", ["info", path], read)

    def _text(self, name: str) -> str:
        entry = self._entries.get(name or _DEFAULT)
        if name == _BUNDLED:
            return _("{name} (bundled)").format(name=_DEFAULT)
        if entry is None:
            return Path(name).name
        places = {"downloadable": _("not on this computer"), "manual": _("to be fetched by hand")}
        return f"{name} ({places[entry['state']]})" if entry["state"] in places else name

    def _described_file(self, path: str) -> str:
        """A file of the person's own."""
        found = self._files.get(path, "")
        if isinstance(found, str):
            said = _("{path}: what it was trained on is not known here; look at the result.").format(path=path)
            return found or (said if path else "")
        card = found["card"]
        if card["modality"] or card["anatomy"]:
            return self._described(found)
        notes = [note if note.endswith(".") else f"{note}." for note in card["notes"]]
        said = _("What it was trained on is not known here; look at the result.")
        return " ".join([f"{Path(path).name}:", *notes, said]) + self._misfit(card)

    def _described(self, entry: Mapping[str, Any]) -> str:
        card = entry["card"]
        said = f"{card['title']}. "
        if {card["modality"], card["anatomy"]} != {"any"}:
            said += _("For: {modality}, {anatomy}.").format(
                modality=card["modality"] or "?", anatomy=card["anatomy"] or "?"
            )
            said += " "
        said += _("Licence: {licence}.").format(licence=card["licence"] or "?")
        if card["preparation"]:
            said += " " + _("Wants volumes: {preparation}.").format(preparation=card["preparation"])
        if entry["state"] == "manual":
            by_hand = _("Fetch {address} in a browser, then choose it as own file.")
            said += " " + by_hand.format(address=entry["address"])
        return said + self._misfit(card)

    def _misfit(self, card: Mapping[str, Any]) -> str:
        """A line where the chosen volume does not look like what the network was trained on; '' where it does."""
        volume = None if self._parameters is None else volume_to_look_at(self._parameters)
        if volume is None:
            return ""
        reasons = unlike_training(card, volume.GetSpacing(), volume.GetImageData().GetDimensions())
        if not reasons:
            return ""
        return "\n" + _("Look closely: {volume} has {reasons}.").format(
            volume=volume.GetName(), reasons=_(" and ").join(reasons)
        )

    def _choose(self, index: int) -> None:
        if not self._filling and self._parameters is not None and index >= 0:
            self._parameters.network = self._ui.networkSelector.itemData(index)

    def _own_file(self) -> None:
        kinds = _("Weights") + " (*.pt *.pth *.h5 *.keras)"
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("A network of your own"), "", kinds)
        if path and self._parameters is not None:
            self._parameters.network = str(path)

    def _download(self) -> None:
        name = self._parameters.network if self._parameters is not None else _BUNDLED
        entry = self._entries[name]
        card = entry["card"]
        question = _("Download {name} ({size})?\n\nFrom: {address}\nLicence: {licence}\nCite: {citation}").format(
            name=name,
            size=size(entry["bytes"]) if entry["bytes"] else "?",
            address=entry["address"],
            licence=card["licence"],
            citation=card["citation"],
        )
        if slicer.util.confirmOkCancelDisplay(question, _("VoxelMorph Registration")) and self._ready():
            self._progress(0.0, _("Downloading {name} ...").format(name=name))
            self._worker().submit("models", ["download", name], lambda event: self._changed(event, name))

    def _remove(self) -> None:
        name = self._parameters.network if self._parameters is not None else _BUNDLED
        question = _("Delete {name} from this computer?").format(name=name)
        if slicer.util.confirmYesNoDisplay(question, _("VoxelMorph Registration")):
            self._worker().submit("models", ["remove", name], lambda event: self._changed(event, name))

    def _changed(self, event: Mapping[str, Any], name: str) -> None:
        if event["event"] == "stage":
            self._progress(event["share"], _("Downloading {name} ...").format(name=name))
        elif event["event"] == "done":
            self._progress(1.0, "")
            self._ask()
        elif event["event"] in ("error", "cancelled"):
            self._progress(1.0, "")
            if event["event"] == "error":
                slicer.util.errorDisplay(event["message"], _("VoxelMorph Registration"), detailedText=event["details"])


def unlike_training(card: Mapping[str, Any], spacing: Sequence[float], counts: Sequence[int]) -> list[str]:
    """How a volume of this spacing (mm) and of so many voxels differs from what a network was trained on, in words."""
    space, shape = card["space"], card.get("training", {}).get("shape")
    trained, extent = space["spacing"], space["extent"]
    reasons = []
    if isinstance(trained, (int, float)):
        if not space.get("flexible") and min(spacing) > _MUCH * trained:
            reasons.append(_("coarser voxels than it was trained on"))
        longest = max(length * count for length, count in zip(spacing, counts))
        if extent is not None and longest > _MUCH * max(extent) * trained:
            reasons.append(_("a far larger field of view"))
    elif shape is not None and trained == "native":
        # It sees the volume's own voxels: many more or fewer of them are an anatomy of another size.
        pairs = [(count, built) for count, built in zip(sorted(counts), sorted(shape))]
        if any(count > _MUCH * built or built > _MUCH * count for count, built in pairs):
            reasons.append(
                _("{counts} voxels, and it was built for {shape}").format(
                    counts="x".join(str(count) for count in counts), shape="x".join(str(built) for built in shape)
                )
            )
    return reasons
