"""The one place where the version is written: pyproject.toml, the command line and run.json take it from here."""

__version__ = "0.1.0"
