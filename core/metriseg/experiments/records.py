"""What an experiment has measured so far, in a JSON file: a run that was broken off goes on there.

A record holds the settings that all of its entries share, and the entries, one for each thing that
was measured. The documentation's tables are written from these files and from nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Record:
    """The entries of a file, kept as they come.

    Args:
        path: of the file; it is made with the first entry.
        settings: what the entries depend on, beside what each says itself; values of JSON.

    Raises:
        ValueError: for a file with entries of other settings, or that is no record.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings = json.loads(json.dumps(settings))
        self.entries: list[dict[str, Any]] = []
        if path.is_file():
            found = read(path)
            if found["settings"] != self.settings:
                other = ", ".join(
                    f"{name} {found['settings'].get(name)!r} there, {self.settings.get(name)!r} now"
                    for name in {**found["settings"], **self.settings}
                    if found["settings"].get(name) != self.settings.get(name)
                )
                raise ValueError(
                    f"{path} has results of other settings ({other}): give another folder, or"
                    " delete it"
                )
            self.entries = found["entries"]

    def find(self, **names: Any) -> dict[str, Any] | None:
        """The entry with these values, or None."""
        return next(
            (one for one in self.entries if all(one.get(k) == v for k, v in names.items())), None
        )

    def add(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """One more, in the file before this returns; as it will be read again."""
        self.entries.append(json.loads(json.dumps(entry)))
        self.save()
        return self.entries[-1]

    @property
    def results(self) -> dict[str, Any]:
        """What :func:`read` would find in the file."""
        return {"settings": self.settings, "entries": self.entries}

    def save(self) -> None:
        """The whole file, or none of it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".part")
        rows = ",\n".join(f"  {json.dumps(one)}" for one in self.entries)
        draft.write_text(
            f'{{"settings": {json.dumps(self.settings)},\n "entries": [\n{rows}\n]}}\n',
            encoding="utf-8",
        )
        os.replace(draft, self.path)


def read(path: Path) -> dict[str, Any]:
    """The settings and the entries in a file.

    Raises:
        ValueError: for a file that is no record.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error
    if not isinstance(found, dict) or set(found) != {"settings", "entries"}:
        raise ValueError(f"{path} has no settings and entries")
    return found
