"""A comparison as a table, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metriseg.cli.comparison import Row
from metriseg.partitions import ContingencyTable

#: For output that goes to a file or another programme.
_WIDTH = 120


def print_table(a: str, b: str, table: ContingencyTable, rows: Sequence[Row]) -> None:
    console = _terminal()
    for side, name, regions in zip("AB", (a, b), table.shape, strict=True):
        console.print(Text(f"{side}  {name}: {_counted(regions, 'region')}"), soft_wrap=True)
    console.print(Text(f"   {_counted(table.total, 'pixel')} compared"))
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for title in ("metric", "value", "normalized", "unit", "metric?", "best"):
        is_number = title in ("value", "normalized", "best")
        shown.add_column(title, justify="right" if is_number else "left", no_wrap=is_number)
    for row in rows:
        shown.add_row(
            Text(_name(row)),
            _number(row.value),
            "" if row.normalized is None else _number(row.normalized),
            row.unit,
            "yes" if row.is_metric else "no",
            _number(row.best),
        )
    unhindered = console.options.update(width=1 << 16)
    if console.measure(shown, options=unhindered).maximum <= console.width:
        console.print(shown)
    else:
        _print_list(console, rows)


def _terminal() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def _print_list(console: Console, rows: Sequence[Row]) -> None:
    """Lines of few words, for a narrow terminal."""
    for row in rows:
        console.print(Text(_name(row)), soft_wrap=True)
        console.print(Text(f"  {_number(row.value)} {row.unit}".rstrip()), soft_wrap=True)
        if row.normalized is not None:
            console.print(Text(f"  {_number(row.normalized)} normalized"), soft_wrap=True)
        said = f"  {'a' if row.is_metric else 'no'} metric, best {_number(row.best)}"
        console.print(Text(said), soft_wrap=True)


def _name(row: Row) -> str:
    return f"weighted: {row.family}" if row.family else row.metric


def print_json(a: str, b: str, table: ContingencyTable, rows: Sequence[Row]) -> None:
    m, n = table.shape
    written = {
        "a": {"path": a, "regions": m},
        "b": {"path": b, "regions": n},
        "pixels": table.total,
        "metrics": [asdict(row) for row in rows],
    }
    typer.echo(json.dumps(written, indent=2, ensure_ascii=False))


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _number(value: float) -> str:
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1e5 else f"{value:.6g}"
