"""PythonQt's way of speaking Qt, given to PySide6's classes.

PythonQt, which Slicer uses, and PySide6 wrap the same Qt. A Qt property is an attribute in PythonQt (`button.enabled`,
`button.enabled = False`) and a pair of methods in PySide6; a signal is connected by its signature
(`button.connect("clicked(bool)", slot)`), and an object of Qt's refuses attributes it does not have.
"""

from __future__ import annotations

import inspect

from PySide6 import QtCore, QtGui, QtWidgets

from Testing.gui.host import api
from Testing.gui.host.values import give_setters

LIBRARIES = (QtCore, QtGui, QtWidgets)
# Layouts and styles call these from C++ and would meet the property again without end.
_LEFT_AS_METHODS = {"parent", "children", "sizeHint", "minimumSizeHint"}
# PySide6 answers QObject.connect in C for its own types; only a Python subclass may have its own.
_WITHOUT_SUBCLASS = {"QObject", "QWidget", "QApplication", "QCoreApplication", "QGuiApplication", "QLayout"}

find_children = QtCore.QObject.findChildren


def plain(value):
    """PythonQt hands out tuples where PySide6 hands out lists."""
    return tuple(value) if isinstance(value, list) else value


class Property:
    """A Qt property as an attribute; asked of the class itself, what PySide6 has there (`QTimer.singleShot`)."""

    def __init__(self, name, original):
        self.name, self.original = name, original
        self.setter = "set" + name[0].upper() + name[1:]

    def __get__(self, owner, kind=None):
        if owner is None:
            return self if self.original is None else self.original
        return plain(QtCore.QObject.property(owner, self.name))

    def __set__(self, owner, value):
        setter = getattr(type(owner), self.setter, None)
        if setter is not None:
            setter(owner, value)
        elif not QtCore.QObject.setProperty(owner, self.name, value):
            raise AttributeError(f"{type(owner).__name__}.{self.name} cannot be set to {value!r}")


def signal_signatures(owner) -> list[str]:
    about = owner.metaObject()
    methods = (about.method(index) for index in range(about.methodCount()))
    kind = QtCore.QMetaMethod.MethodType.Signal
    return [bytes(method.methodSignature()).decode() for method in methods if method.methodType() == kind]


def _signal(owner, signature):
    if not isinstance(signature, str):
        raise TypeError("connect(signature, slot) takes a signature such as 'clicked(bool)'")
    name, kind = signature.partition("(")[0], type(owner)
    known = (*api.signals(_real_name(kind)), *signal_signatures(owner))
    if signature not in known:
        alike = [one for one in known if one.startswith(name)]
        raise ValueError(f"{kind.__name__} has no signal {signature}; it has {alike}")
    return getattr(owner, getattr(kind, "_overloads", {}).get(signature, name))


def _real_name(kind):
    """The name of the nearest class that stands for a C++ class."""
    return next((base.__name__ for base in kind.__mro__ if "_host_cpp" in vars(base)), "")


def _caller(slot, signature):
    """PythonQt keeps the slot alive and hands it the arguments of the signature; to a function or a method with a fixed
    number of parameters no more than those, to any other callable all of them.
    """
    given = len([part for part in signature.partition("(")[2].rstrip(")").split(",") if part])
    taken, function = given, getattr(slot, "__func__", slot)
    if inspect.isfunction(function) and not function.__code__.co_flags & inspect.CO_VARARGS:
        taken = min(given, function.__code__.co_argcount - inspect.ismethod(slot))
    # PySide6 chooses among a signal's forms by the number of arguments that a slot takes.
    return _WITH_ARITY[given](slot, taken)


_WITH_ARITY = (
    lambda slot, taken: lambda: slot(),
    lambda slot, taken: lambda a: slot(*(a,)[:taken]),
    lambda slot, taken: lambda a, b: slot(*(a, b)[:taken]),
    lambda slot, taken: lambda a, b, c: slot(*(a, b, c)[:taken]),
)


def connect(self, signature, slot):
    signal = _signal(self, signature)
    call = _caller(slot, signature)
    self.__dict__.setdefault("_host_connections", []).append((signature, slot, call))
    signal.connect(call)
    return True


def disconnect(self, signature, slot=None):
    signal = _signal(self, signature)
    kept = self.__dict__.setdefault("_host_connections", [])
    for connection in [held for held in kept if held[0] == signature and (slot is None or held[1] == slot)]:
        signal.disconnect(connection[2])
        kept.remove(connection)
    return True


# While a .ui file is read, Qt itself sets properties that a widget of the host does not have yet.
reading_ui = []


def refuse_unknown(self, name, value):
    kind = type(self)
    of_qt = kind.__module__.startswith("PySide6.") or "_host_cpp" in vars(kind)
    # PySide6 keeps what it needs for its own slots under names such as __METAOBJECT__.
    if of_qt and not name.startswith("__") and not hasattr(kind, name) and not reading_ui:
        raise AttributeError(f"{kind.__name__} has no attribute {name!r}, and PythonQt's objects take no new ones")
    held = inspect.getattr_static(kind, name, None)
    if hasattr(held, "__set__"):
        held.__set__(self, value)
    else:
        self.__dict__[name] = value


def _missing(self, name):
    kind = type(self)
    if name in api.members(_real_name(kind)):
        raise AttributeError(
            f"Slicer's {kind.__name__} has {name!r}, and this host does not: add it to Testing/gui/host"
        )
    raise AttributeError(f"{kind.__name__} has no attribute {name!r}")


def speak(kind):
    """Class decorator: a class of the host that stands for the C++ class of CTK or Slicer with the same name."""
    kind.connect, kind.disconnect, kind.__setattr__, kind._host_cpp = connect, disconnect, refuse_unknown, True
    kind.__getattr__ = _missing
    name = kind.__name__
    kind.className = lambda self: name
    api.offer(kind)
    give_setters(kind, api.members(name))
    return kind


def qt_classes():
    for library in LIBRARIES:
        for name in dir(library):
            kind = getattr(library, name)
            if inspect.isclass(kind) and issubclass(kind, QtCore.QObject) and hasattr(kind, "staticMetaObject"):
                yield name, kind


def _give_properties(kind):
    about = kind.staticMetaObject
    for index in range(about.propertyOffset(), about.propertyCount()):
        name = about.property(index).name()
        if name not in _LEFT_AS_METHODS:
            setattr(kind, name, Property(name, getattr(kind, name, None)))


def _find_children(subclass_of):
    def find(self, kind, *arguments, **options):
        # Qt makes plain labels itself (QFormLayout.addRow("text", widget)): they are found as well.
        return find_children(self, subclass_of.get(kind, kind), *arguments, **options)

    return find


def _without_keywords(kind):
    def __init__(self, *arguments):
        kind.__init__(self, *arguments)

    return __init__


def teach_pyside() -> dict[str, type]:
    """Change PySide6's classes in place, once in a process; returns the classes by name that `qt` shows instead."""
    shown, subclass_of = {}, {}
    found = dict(qt_classes())
    for name, kind in found.items():
        _give_properties(kind)
        kind.connect, kind.disconnect, kind.__setattr__ = connect, disconnect, refuse_unknown
        if name in _WITHOUT_SUBCLASS:
            continue
        # PySide6 takes Qt's properties as keywords, PythonQt takes no keywords.
        members = {
            "__init__": _without_keywords(kind),
            "connect": connect,
            "disconnect": disconnect,
            "__setattr__": refuse_unknown,
            "_host_cpp": True,
        }
        try:
            shown[name] = type(name, (kind,), {**members, "__module__": "qt"})
        except TypeError:  # A class that cannot be inherited from.
            continue
        subclass_of[shown[name]] = kind
    QtCore.QObject.name = property(lambda self: self.objectName, lambda self, value: self.setObjectName(value))
    QtCore.QObject.className = lambda self: self.metaObject().className()
    for kind in found.values():
        kind.findChildren = _find_children(subclass_of)
    return shown
