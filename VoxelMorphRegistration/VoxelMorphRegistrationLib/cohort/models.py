"""Networks that stay loaded: each is read from disk once a process."""

from __future__ import annotations

from dataclasses import replace

from ..models.loading import DEFAULT_MODEL, Model, load_model
from ..propagation.request import Request
from ..registration.settings import resolve_device


class Models:
    """Loaded networks, by what was asked for and where they run."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str | None, str], Model] = {}

    def of(self, request: Request) -> Model:
        """The network a request asks for, on the device it asks for. Raises InputError when there is none."""
        device = str(resolve_device(request.pair.get("device", "auto")))
        key = (request.model, device)
        if key not in self._loaded:
            self._loaded[key] = load_model(request.model or DEFAULT_MODEL, device)
        return self._loaded[key]


def on_device(request: Request, device: str) -> Request:
    """The same request for a device, where it leaves open which one."""
    if request.pair.get("device", "auto") != "auto":
        return request
    return replace(request, pair={**request.pair, "device": device})
