"""What the real classes offer, by api.json (see make_api_lists.py), so that a test cannot pass on what Slicer lacks."""

from __future__ import annotations

import functools
import json
from pathlib import Path

_FILE = Path(__file__).resolve().parent / "api.json"
_offered: dict[str, type] = {}


@functools.cache
def lists() -> dict[str, dict]:
    return json.loads(_FILE.read_text(encoding="utf-8"))["classes"] if _FILE.is_file() else {}


def chain(name: str):
    """The lists of a class and of its bases that are no classes of Qt itself."""
    while name in lists():
        yield lists()[name]
        name = lists()[name]["base"]


def qt_base(name: str) -> str:
    while name in lists():
        name = lists()[name]["base"]
    return name


@functools.cache
def signals(name: str) -> frozenset[str]:
    return frozenset(signature for one in chain(name) for signature in one.get("signals", ()))


@functools.cache
def members(name: str) -> frozenset[str]:
    """Every attribute that a class has beyond its class of Qt's."""
    kinds = ("properties", "methods", "enumerators")
    named = {member for one in chain(name) for kind in kinds for member in one.get(kind, ())}
    return frozenset(named | {signature.partition("(")[0] for signature in signals(name)})


def offer(kind: type) -> None:
    """Note a class of the host that stands for the class of the same name."""
    _offered[kind.__name__] = kind


def offered_classes() -> dict[str, type]:
    return dict(_offered)


def invented(kind: type) -> set[str]:
    """The public attributes of a host class that the real class does not have."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("Testing.gui.host")]
    named = {name for base in ours for name in vars(base) if not name.startswith("_")}
    of_the_host = {"connect", "disconnect", "className", "staticMetaObject"}
    of_qt = next(base for base in kind.__mro__ if base.__module__.startswith("PySide6."))
    return {name for name in named - of_the_host if name not in members(kind.__name__) and not hasattr(of_qt, name)}
