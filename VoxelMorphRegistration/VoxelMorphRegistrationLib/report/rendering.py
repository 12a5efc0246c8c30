"""One HTML file that is whole by itself: a template with style and scripts inside, written at once.

Everything filled in is escaped, in the text by jinja2 and in the scripts' data as JSON without `<`, `>` and `&`.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

from ..errors import DependencyMissing
from ..files.atomic import atomic_write
from ..installation import install_command
from ..version import __version__


def resources() -> Path:
    """The folder of the templates: in the library where pip installed it, else beside it."""
    library = Path(__file__).parents[1]
    inside = library / "Resources" / "Report"
    return inside if inside.is_dir() else library.parent / "Resources" / "Report"


def write_page(template: str, path: str | Path, **content: Any) -> Path:
    """Fill in a template and write it to `path`, whole or not at all.

    Templates are given, beside `content`: `version`, `made` (the time as text) and `made_at` (seconds since 1970).

    Raises DependencyMissing without jinja2, InputError when the file cannot be written.
    """
    path = Path(path)
    text = (
        _environment()
        .get_template(template)
        .render(version=__version__, made=time.strftime("%Y-%m-%d %H:%M:%S"), made_at=time.time(), **content)
    )
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def check_available() -> None:
    """Raises DependencyMissing without jinja2."""
    _environment()


def _environment() -> Any:
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise DependencyMissing(
            f"jinja2: not installed, a page needs it; install with: {install_command('jinja2')}"
        ) from error
    return _environment_of(resources())


@functools.lru_cache(maxsize=4)
def _environment_of(folder: Path) -> Any:
    """Kept, since a run writes its page again and again and the templates are compiled only once."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def inline(name: str) -> Any:
        """A style sheet or script of ours, as it is."""
        from markupsafe import Markup

        return Markup((folder / name).read_text(encoding="utf-8"))

    environment.globals["inline"] = inline
    environment.filters["number"] = _number
    return environment


def _number(value: float | None, digits: int = 3) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
