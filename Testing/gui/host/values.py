"""A property of a host widget that Qt does not know."""

from __future__ import annotations


class Value:
    """A property with a default; `after` is called when it is set, and `signal` emitted when it has changed."""

    def __init__(self, default, signal=None, cast=None, after=None):
        self.default, self.signal, self.cast, self.after = default, signal, cast, after

    def __set_name__(self, owner, name):
        self.name, self.held = name, "_value_" + name

    def __get__(self, widget, owner=None):
        return self if widget is None else widget.__dict__.get(self.held, self.default)

    def __set__(self, widget, value):
        value = value if self.cast is None else self.cast(value)
        before = self.__get__(widget)
        widget.__dict__[self.held] = value
        if self.after is not None:
            self.after(widget)
        if value != before and self.signal is not None:
            getattr(widget, self.signal).emit(value)


def _setter(name):
    def set_value(self, value):
        setattr(self, name, value)

    return set_value


def give_setters(kind, members):
    """A slot `setValue` beside the property `value`, where the real class has it as a slot."""
    held = {
        name: one for base in kind.__mro__ for name, one in vars(base).items() if isinstance(one, (Value, property))
    }
    for name in held:
        setter = "set" + name[0].upper() + name[1:]
        if setter in members and not hasattr(kind, setter):
            setattr(kind, setter, _setter(name))
