"""How a value of each type lies in a vtkMRMLScriptedModuleNode: as Slicer's scenes have it."""

from __future__ import annotations

import enum
import pathlib
import types
import typing

import slicer
from slicer.parameterNodeWrapper.annotations import Default, IsInstance, NotNone, Validator


def split(hint):
    """The type and the annotations of a type hint."""
    if typing.get_origin(hint) is typing.Annotated:
        first, *annotations = typing.get_args(hint)
        return first, annotations
    return hint, []


def node_classes(kind):
    """The node classes of a node type or of a union of node types, else an empty tuple."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(kind) if part is not type(None)]
    else:
        parts = [kind]
    is_nodes = all(isinstance(part, type) and issubclass(part, slicer.vtkMRMLNode) for part in parts)
    return tuple(parts) if is_nodes else ()


class Text:
    """A value that is one text; `to_text` and `of_text` lead there and back."""

    def __init__(self, default, to_text, of_text, validators):
        self.default, self.validators = default, validators
        self._to_text, self._of_text = to_text, of_text

    def holds(self, node, name):
        return node.HasParameter(name)

    def write(self, node, name, value):
        for validator in self.validators:
            validator.validate(value)
        node.SetParameter(name, self._to_text(value))

    def read(self, node, name):
        return self._of_text(node.GetParameter(name))

    def remove(self, node, name):
        node.UnsetParameter(name)


class Node:
    """A node reference; the empty text of the same name says that it was set, to None perhaps."""

    default = None

    def __init__(self, kind, validators):
        self.validators = [IsInstance(node_classes(kind)), *validators]
        # Slicer takes None for one node class, but not for a Union that does not name it, and None is its default.
        self._refuses_none = typing.get_origin(kind) is not None and type(None) not in typing.get_args(kind)

    def holds(self, node, name):
        return node.HasParameter(name)

    def write(self, node, name, value):
        if value is None and self._refuses_none:
            raise TypeError(f"{name} cannot be None: a Union of nodes needs None among its types")
        for validator in self.validators:
            validator.validate(value)
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, None if value is None else value.GetID())

    def read(self, node, name):
        return node.GetNodeReference(name)

    def remove(self, node, name):
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class List:
    def __init__(self, element):
        self._element = element

    default = property(lambda self: [])

    def holds(self, node, name):
        return node.HasParameter(name + ".len")

    def _length(self, node, name):
        return int(node.GetParameter(name + ".len")) if self.holds(node, name) else 0

    def write(self, node, name, value):
        with slicer.util.NodeModify(node):
            for index in range(len(value), self._length(node, name)):
                self._element.remove(node, f"{name}.{index}")
            for index, one in enumerate(value):
                self._element.write(node, f"{name}.{index}", one)
            node.SetParameter(name + ".len", str(len(value)))

    def read(self, node, name):
        # Slicer hands out a list that writes itself back when it is changed; a tuple refuses the change instead.
        return tuple(self._element.read(node, f"{name}.{index}") for index in range(self._length(node, name)))


def storage(hint):
    """The storage of a type hint, and its Default or None."""
    kind, annotations = split(hint)
    validators = [annotation for annotation in annotations if isinstance(annotation, Validator)]
    default = next((annotation for annotation in annotations if isinstance(annotation, Default)), None)
    return _storage(kind, validators), default


def _storage(kind, validators):
    if kind is bool:
        return Text(False, str, lambda text: text == "True", [NotNone(), IsInstance(bool), *validators])
    if kind in (int, float):
        taken = (int, float) if kind is float else int
        return Text(kind(0), lambda value: repr(kind(value)), kind, [NotNone(), IsInstance(taken), *validators])
    if kind is str:
        return Text("", str, str, [NotNone(), IsInstance(str), *validators])
    if kind in (pathlib.Path, pathlib.PurePath):
        return Text(kind(), str, kind, [NotNone(), IsInstance(kind), *validators])
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return Text(next(iter(kind)), lambda value: value.name, kind.__getitem__, [IsInstance(kind), *validators])
    if node_classes(kind):
        return Node(kind, validators)
    if typing.get_origin(kind) is list:
        return List(storage(typing.get_args(kind)[0])[0])
    raise NotImplementedError(f"{kind} in a parameter node: not in this stand-in")
