"""The command line: ``python -m metriseg compare A B``."""

from metriseg.cli.commands import app

__all__ = ["app"]
