"""``metriseg``, or ``python -m metriseg``: the command line, where what it needs is installed."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the command line, or say how to install it."""
    programme = "metriseg" if Path(sys.argv[0]).stem == "metriseg" else "python -m metriseg"
    try:
        from metriseg.cli import app
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.exit(f"{programme} needs typer and rich: pip install 'metriseg[cli]'")
    app(prog_name=programme)


if __name__ == "__main__":
    main()
