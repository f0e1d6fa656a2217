"""The tables of what was measured, written from ``docs/reproductions``: ``make reproductions``.

A page has a line ``<!-- streets: losses -->`` where the table ``losses`` of ``streets.json``
stands, and ``<!-- end -->`` behind it. Figures that can be drawn from the numbers are drawn, too.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metriseg.experiments.records import read
from metriseg.experiments.tables import mean_text
from metriseg.experiments.which_loss.report import by_loss

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "reproductions"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
#: What makes the tables of a file, where it isn't the module of the experiment's own name.
TABLES = dict.fromkeys(("streets", "brains", "masks"), "metriseg.experiments.which_loss.report")
#: The columns of the overview: comparisons of losses, and what is trained on what.
COMPARED = {
    "streets": "MMSegmentation, streets: mean IoU, %",
    "brains": "MONAI, MRI volumes: mean Dice",
    "masks": "Detectron2, nuclei: mask IoU",
}
#: Its rows, by the losses' keys there; the first loss of each comparison is its cross-entropy.
ROWS = {
    "cross-entropy": "cross-entropy",
    "dice": "Dice",
    "dice-ce": "Dice + cross-entropy",
    "tversky": "Tversky",
    "lovasz": "Lovász",
    "power-jaccard-2": "power Jaccard, power 2",
}
PLACE = re.compile(r"<!-- ([\w-]+): ([\w ,-]+) -->\n.*?<!-- end -->", re.DOTALL)


def results() -> dict[str, dict[str, Any]]:
    """By the names of the experiments, what their files hold."""
    return {path.stem: read(path) for path in sorted(RESULTS.glob("*.json"))}


def module(name: str) -> Any:
    """That has ``tables`` and, where there are figures, ``figures``."""
    return importlib.import_module(
        TABLES.get(name, f"metriseg.experiments.{name.replace('-', '_')}")
    )


def written(text: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """A page with its tables as they should be.

    Raises:
        ValueError: for a place without such results, or without such a table.
    """
    made = {name: module(name).tables(one) for name, one in found.items()}
    if set(COMPARED) <= set(found):
        made["overview"] = {"losses": overview(found)}

    def place(match: re.Match[str]) -> str:
        name, table = match.groups()
        if name not in made:
            raise ValueError(
                f"{name} has no results in {RESULTS.name}: there are {', '.join(made)}"
            )
        if table not in made[name]:
            raise ValueError(f"{name} has no table {table!r}: there are {', '.join(made[name])}")
        return f"<!-- {name}: {table} -->\n\n{made[name][table]}\n\n<!-- end -->"

    return PLACE.sub(place, text)


def overview(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Some losses in all three frameworks: the first score of each comparison."""
    columns: list[dict[str, str]] = []
    for name in COMPARED:
        score, digits = next(iter(found[name]["settings"]["columns"].items()))
        groups = by_loss(found[name])
        keys = ["cross-entropy", *(loss.replace("_", "-") for loss in list(groups)[1:])]
        columns.append(
            {
                key: mean_text([one["values"][score] for one in members], digits)
                for key, members in zip(keys, groups.values(), strict=True)
                if members
            }
        )
    lines = [f"| loss | {' | '.join(COMPARED.values())} |", "| --- |" + " ---: |" * len(columns)]
    for key, words in ROWS.items():
        lines.append(f"| {words} | {' | '.join(one.get(key, '') for one in columns)} |")
    return "\n".join(lines)


def places(text: str) -> list[tuple[str, str]]:
    """The experiments and tables that a page has a place for."""
    return [(name, table) for name, table in PLACE.findall(text)]


def main() -> None:
    found = results()
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = written(before, found)
        page.write_text(after, encoding="utf-8")
        if count := len(places(after)):
            sys.stdout.write(f"{page.name}: {count} tables\n")
    for name, one in found.items():
        if draw := getattr(module(name), "figures", None):
            for path in draw(one, ROOT / "docs" / "assets" / name):
                sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
