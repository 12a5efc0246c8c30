"""What the real classes of Slicer and CTK offer to Python, read from their headers.

    python -m Testing.gui.make_api_lists SLICER_CHECKOUT CTK_CHECKOUT

PythonQt shows of a C++ class its Q_PROPERTYs, public slots, Q_INVOKABLE methods, signals and Q_ENUM values, and what
the *PythonQtDecorators.h files add; any other public method does not exist in Slicer's Python. The names, and nothing
else of the headers, go to host/api.json, for the classes that the host has and their bases.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

OUTPUT = Path(__file__).resolve().parent / "host" / "api.json"
_CLASS = re.compile(r"\bclass\s+(?:\w+_EXPORT\s+)?(\w+)\s*(?:final\s*)?:\s*public\s+([\w:]+)[^;{]*\{")
_COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.)*$", re.M | re.S)
_ACCESS = re.compile(
    r"^\s*((?:public|protected|private|signals|Q_SIGNALS|public\s+(?:slots|Q_SLOTS)"
    r"|(?:protected|private)\s+(?:slots|Q_SLOTS)))\s*:(?!:)"
)


def _body(text, start):
    """The text of the class that opens at `start`, without the bodies of its methods."""
    depth, kept = 1, []
    for character in text[start:]:
        if character == "{":
            depth += 1
            if depth == 2:
                kept.append("{")
        elif character == "}":
            depth -= 1
            if depth == 0:
                break
            if depth == 1:
                kept.append("};")
        elif depth == 1:
            kept.append(character)
        elif depth == 2:
            kept.append(character)
    return "".join(kept)


def _arguments(text):
    """Qt's normal form of the arguments of a declaration: types without names, const references as values."""
    depth, part, parts = 0, "", []
    for character in text + ",":
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += character
    types = []
    for part in (part.partition("=")[0].strip() for part in parts):
        if not part or part == "void":
            continue
        part = re.sub(r"\bconst\b\s*(.*?)&", r"\1", part).strip()
        part = re.sub(r"\s+", " ", part)
        named = re.match(r"^(.*?[\s*&>])(\w+)$", part)
        type_ = (named.group(1) if named and named.group(2) not in ("int", "double", "bool", "long") else part).strip()
        types.append(re.sub(r"\s*([*&<>,])\s*", r"\1", type_.replace("const ", "", 1) if "*" not in type_ else type_))
    return types


def _declarations(body):
    """(access, statement) of every declaration of a class."""
    access = "private"
    for statement in re.split(r";", body):
        while match := _ACCESS.match(statement):
            access = re.sub(r"\s+", " ", match.group(1)).replace("Q_SLOTS", "slots").replace("Q_SIGNALS", "signals")
            statement = statement[match.end() :]
        yield access, statement.strip()


def _read_class(body):
    found = {"properties": set(), "methods": set(), "signals": set(), "enumerators": set()}
    # These macros stand without a semicolon.
    macros = r"Q_(PROPERTY|ENUMS?|FLAGS?|INTERFACES|CLASSINFO|DISABLE_COPY|DECLARE_\w+)\s*\(((?:[^()]|\([^()]*\))*)\)"
    flags = dict(re.findall(r"Q_DECLARE_FLAGS\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)", body))
    exposed = set()
    for kind, inside in re.findall(macros, body):
        words = inside.split()
        if kind == "PROPERTY":
            name = next(first for first, second in zip(words[1:], words[2:]) if second in ("READ", "MEMBER"))
            found["properties"].add(name.lstrip("*&"))
        elif kind.startswith(("ENUM", "FLAG")):
            exposed |= {word.split("::")[-1] for word in words}
    body = re.sub(r"\b(Q_OBJECT|Q_GADGET|QVTK_OBJECT)\b", "", re.sub(macros, "", body))
    for access, statement in _declarations(body):
        enum = re.match(r"^enum\s+(?:class\s+)?(\w+)[^{]*\{(.*)\}?$", statement, re.S)
        if enum and (enum.group(1) in exposed or enum.group(1) in {flags.get(name) for name in exposed}):
            found["enumerators"] |= set(re.findall(r"(?:^|,)\s*(\w+)", enum.group(2).rstrip("} \n")))
            continue
        method = re.search(r"([~\w]+)\s*\((.*)\)", statement.partition("{")[0], re.S)
        if not method or method.group(1).startswith(("~", "operator", "Q_")):
            continue
        name = method.group(1)
        if access == "signals":
            found["signals"].add(f"{name}({','.join(_arguments(method.group(2)))})")
        elif access == "public slots" or (access == "public" and "Q_INVOKABLE" in statement):
            found["methods"].add(name)
    return found


def _decorated(text, classes):
    """What a decorator adds: `void method(Class* self, ...)` and `static_Class_method(...)`."""
    for _, statement in _declarations(text):
        method = re.search(r"(\w+)\s*\(([^,)]*)", statement.partition("{")[0])
        if not method:
            continue
        static = re.match(r"static_(\w+?)_(\w+)$", method.group(1))
        owner, name = static.groups() if static else (method.group(2).replace("*", " ").split(), method.group(1))
        owner = owner if static else (owner[0] if owner and "*" in method.group(2) else None)
        if owner in classes:
            classes[owner]["methods"].add(name)


def read_headers(*checkouts):
    classes, decorators = {}, []
    for checkout in checkouts:
        for header in sorted(Path(checkout).rglob("*.h")):
            text = header.read_text(encoding="utf-8", errors="replace")
            text = _PREPROCESSOR.sub("", _COMMENTS.sub("", text))
            for match in _CLASS.finditer(text):
                body = _body(text, match.end())
                if header.name.endswith("PythonQtDecorators.h"):
                    decorators.append(body)
                elif "Q_OBJECT" in body:
                    classes[match.group(1)] = {"base": match.group(2), **_read_class(body)}
    for body in decorators:
        _decorated(body, classes)
    return classes


def _commit(checkout):
    asked = ["git", "-C", str(checkout), "log", "-1", "--format=%H %cs"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def main(slicer, ctk):
    from Testing.gui.host import start
    from Testing.gui.host.api import offered_classes

    start()
    classes, wanted = read_headers(slicer, ctk), set()
    for name in offered_classes():
        if name not in classes:
            print(f"{name}: not in the headers", file=sys.stderr)
        while name in classes:
            wanted.add(name)
            name = classes[name]["base"]
    lists = {
        name: {key: sorted(value) if isinstance(value, set) else value for key, value in classes[name].items()}
        for name in sorted(wanted)
    }
    lists = {name: {key: value for key, value in one.items() if value} for name, one in lists.items()}
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in lists.items()]
    source = json.dumps({"Slicer": _commit(slicer), "CTK": _commit(ctk)})
    OUTPUT.write_text('{"source": ' + source + ',\n"classes": {\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")
    print(f"{len(lists)} classes in {OUTPUT}")


if __name__ == "__main__":
    main(*sys.argv[1:])
