"""``python -m metriseg``: the command line, where what it needs is installed."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say how to install it."""
    try:
        from metriseg.cli import app
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.exit("python -m metriseg needs typer and rich: pip install 'metriseg[cli]'")
    app(prog_name="python -m metriseg")


if __name__ == "__main__":
    main()
