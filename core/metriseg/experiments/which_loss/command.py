"""The command line that all comparisons share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from metriseg.experiments.records import Record, read
from metriseg.experiments.tables import progress
from metriseg.experiments.which_loss.bench import Bench
from metriseg.experiments.which_loss.comparison import (
    chosen_candidates,
    network_folder,
    record_settings,
    run,
)
from metriseg.experiments.which_loss.picture import save_picture
from metriseg.experiments.which_loss.report import by_loss, tables


def main(bench: Bench, description: str, arguments: Sequence[str] | None = None) -> None:
    """Train what isn't trained yet, print the tables, and write them and a picture."""
    parser = argparse.ArgumentParser(
        prog=f"python -m metriseg reproduce {bench.name}", description=description
    )
    keys = [one.key for one in bench.candidates]
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("work_dirs") / bench.name,
        help="a folder for networks, results, tables and the picture; what is there isn't trained"
        " again (default %(default)s)",
    )
    parser.add_argument(
        "--evaluate", type=Path, help="score the networks on this folder too, laid out like val"
    )
    parser.add_argument(
        "--loss", action="append", choices=keys, metavar="NAME", help=f"of {', '.join(keys)}"
    )
    parser.add_argument("--seeds", type=int, help="trainings a loss")
    parser.add_argument("--steps", type=int, help="of each training")
    parser.add_argument(
        "--full",
        action="store_true",
        help=f"{bench.full.seeds} seeds, all losses, settings chosen on val",
    )
    given = parser.parse_args(arguments)
    plan = bench.full if given.full else bench.short
    changed = {"losses": given.loss, "seeds": given.seeds, "steps": given.steps}
    plan = plan._replace(**{name: one for name, one in changed.items() if one is not None})
    for name in ("seeds", "steps"):
        if getattr(plan, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(plan, name)}")
    try:
        record = run(bench, plan, given.output)
        _report(bench, record, given.output, None)
        if given.evaluate is not None:
            _report(bench, _evaluate(bench, record, given), given.output, given.evaluate)
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _evaluate(bench: Bench, record: Record, given: argparse.Namespace) -> Record:
    """The same networks with the same settings, scored on other images."""
    plan = bench.short._replace(steps=record.settings["steps"])
    path = given.output / f"evaluated_{given.evaluate.resolve().name}.json"
    scored = Record(path, record_settings(bench, plan) | {"data": str(given.evaluate)})
    known = {one.key for one in chosen_candidates(bench, given.loss)}
    for members in by_loss(read(record.path)).values():
        for one in members:
            names = {name: one[name] for name in ("loss", "setting", "seed")}
            if one["loss"] not in known or scored.find(**names) is not None:
                continue
            place = network_folder(given.output, **names)
            values, classes, images = bench.score(place, given.evaluate)
            rounded = {name: round(float(value), 6) for name, value in values.items()}
            scored.add({**one, "values": rounded, "classes": dict(classes), "images": list(images)})
            progress(f"{one['words']}, seed {one['seed']}: {rounded}")
    return scored


def _report(bench: Bench, record: Record, folder: Path, data: Path | None) -> None:
    """Print and write the tables, and draw the picture."""
    results = read(record.path)
    name = "report" if data is None else f"report_{data.resolve().name}"
    text = "\n\n".join([bench.title, *tables(results).values()])
    print(text if data is None else f"{data}:\n\n{text}")
    (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    picture = folder / f"{name.replace('report', 'differences')}.png"
    save_picture(picture, bench, by_loss(results), folder, data)
    progress(f"tables and picture: {folder}")
