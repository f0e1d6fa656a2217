"""The README's table of losses, written from the catalogue: ``make readme``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import sphinx_markup
from metriseg.catalogue import CATALOGUE, Entry
from page_tables import with_table

README = Path(__file__).resolve().parents[1] / "README.md"
HEAD = ("| loss | formula | paper |", "| --- | --- | --- |")
SIGNS = {"alpha": "α", "gamma": "γ", "lambda": "λ", "theta": "θ"}


def table(entries: Iterable[Entry] = CATALOGUE.values()) -> str:
    """A row a loss, in the catalogue's order."""
    return "\n".join(
        (*HEAD, *(f"| `{e.name}` | {formula(e.summary)} | {paper(e)} |" for e in entries))
    )


def formula(summary: str) -> str:
    """A line of text as it is printed, for a cell.

    >>> formula("-sum_c t_c (1 - p_c)^gamma ln p_c")
    '−Σ_c t_c (1 − p_c)^γ ln p_c'
    """
    text = re.sub(r"\bsum(?=\b|_)", "Σ", summary)
    # a letter of a formula, not the beginning of an argument's name
    names = "|".join(SIGNS)
    text = re.sub(rf"\b({names})(?![a-z]|_[a-z]{{2}})", lambda sign: SIGNS[sign[1]], text)
    text = re.sub(r"(^|(?<=[\s(]))-(?=\S)", "−", text).replace(" - ", " − ")
    return text.replace("^2", "²").replace("|", r"\|")


def paper(entry: Entry) -> str:
    """Authors and year, linked where the paper has an address."""
    address = sphinx_markup.paper_address(entry.source)
    return f"[{entry.paper}]({address})" if address else f"{entry.paper}, *{entry.source}*"


def written(text: str) -> str:
    """The README with the table as it should be."""
    return with_table("README", text, HEAD, table())


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{README.name}: {len(CATALOGUE)} losses\n")
