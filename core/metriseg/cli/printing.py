"""A comparison, or many, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from metriseg.cli.comparison import Row
from metriseg.cli.many import Outcome, Summary
from metriseg.partitions import ContingencyTable

#: For output that goes to a file or another programme.
_WIDTH = 120


def print_table(a: str, b: str, table: ContingencyTable, rows: Sequence[Row]) -> None:
    console = _terminal()
    for side, name, regions in zip("AB", (a, b), table.shape, strict=True):
        console.print(Text(f"{side}  {name}: {_counted(regions, 'region')}"), soft_wrap=True)
    console.print(Text(f"   {_counted(table.total, 'pixel')} compared"))
    shown = _columns("metric", "value", "normalized", "unit", "metric?", "best")
    for row in rows:
        shown.add_row(
            Text(_name(row)),
            _number(row.value),
            "" if row.normalized is None else _number(row.normalized),
            row.unit,
            "yes" if row.is_metric else "no",
            _number(row.best),
        )
    _print_fitting(console, shown, lambda: _print_list(console, rows))


def print_summaries(found: Sequence[Outcome], lines: Sequence[Summary]) -> None:
    """What many pairs come to, and how many there are."""
    console = _terminal()
    compared = [one for one in found if not one.error]
    of_all = "" if len(compared) == len(found) else f" of {len(found):,}"
    pixels = _counted(sum(one.pixels for one in compared), "pixel")
    said = f"{len(compared):,}{of_all} {'pair' if len(found) == 1 else 'pairs'} compared, {pixels}"
    console.print(Text(said))
    if not lines:
        return
    shown = _columns("metric", "mean", "std", "worst", "of pair", "unit")
    for line in lines:
        numbers = [_number(one) for one in (line.mean, line.deviation, line.worst)]
        shown.add_row(Text(_name(line)), *numbers, Text(line.worst_pair), line.unit)
    _print_fitting(console, shown, lambda: _print_summary_list(console, lines))


def watched(outcomes: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    """The outcomes in turn, with a bar on standard error where that is a terminal.

    What a pair fails by is printed there at once.
    """
    console = Console(stderr=True, soft_wrap=True)
    passing = track(
        outcomes,
        "comparing",
        total=total,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    for one in passing:
        if one.error:
            console.print(Text(f"metriseg: {one.pair.name}: {one.error}"))
        yield one


def _columns(*titles: str) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for title in titles:
        is_number = title in ("value", "normalized", "best", "mean", "std", "worst")
        shown.add_column(title, justify="right" if is_number else "left", no_wrap=is_number)
    return shown


def _print_fitting(console: Console, shown: Table, otherwise: Callable[[], None]) -> None:
    """The table, where the terminal is wide enough."""
    unhindered = console.options.update(width=1 << 16)
    if console.measure(shown, options=unhindered).maximum <= console.width:
        console.print(shown)
    else:
        otherwise()


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


def _print_summary_list(console: Console, lines: Sequence[Summary]) -> None:
    for line in lines:
        console.print(Text(_name(line)), soft_wrap=True)
        said = f"  mean {_number(line.mean)} {line.unit}".rstrip()
        console.print(Text(f"{said}, std {_number(line.deviation)}"), soft_wrap=True)
        worst = f"  worst {_number(line.worst)}, of {line.worst_pair}"
        console.print(Text(worst), soft_wrap=True)


def _name(row: Row | Summary) -> str:
    normalized = "normalized, " if row.metric.startswith("normalized_") else ""
    return f"{normalized}weighted: {row.family}" if row.family else row.metric


def print_json(a: str, b: str, table: ContingencyTable, rows: Sequence[Row]) -> None:
    m, n = table.shape
    written = {
        "a": {"path": a, "regions": m},
        "b": {"path": b, "regions": n},
        "pixels": table.total,
        "metrics": [asdict(row) for row in rows],
    }
    typer.echo(json.dumps(written, indent=2, ensure_ascii=False))


def print_summaries_json(
    found: Sequence[Outcome], lines: Sequence[Summary], alone: Mapping[str, Sequence[str]]
) -> None:
    written = {
        "summary": [asdict(line) for line in lines],
        "pairs": [
            {
                "name": one.pair.name,
                "a": {"path": one.pair.a, "regions": one.regions[0]},
                "b": {"path": one.pair.b, "regions": one.regions[1]},
                "pixels": one.pixels,
                "metrics": [asdict(row) for row in one.rows],
            }
            for one in found
            if not one.error
        ],
        "failed": [
            {"name": one.pair.name, "a": one.pair.a, "b": one.pair.b, "error": one.error}
            for one in found
            if one.error
        ],
        "without_partner": {"a": list(alone["A"]), "b": list(alone["B"])},
    }
    typer.echo(json.dumps(written, indent=2, ensure_ascii=False))


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _number(value: float) -> str:
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1e5 else f"{value:.6g}"
