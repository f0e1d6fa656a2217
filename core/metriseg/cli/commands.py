"""The commands and their options."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

import metriseg
from metriseg.cli.comparison import Comparison, Misused
from metriseg.cli.files import Asked, Pair, compare_files, left_out, said_as
from metriseg.cli.many import FAILURES, Outcome, one_line, outcomes, summaries, write_csv
from metriseg.cli.pairing import Pairing, listed, paired
from metriseg.cli.printing import (
    print_json,
    print_summaries,
    print_summaries_json,
    print_table,
    watched,
)

app = typer.Typer(
    help="Segmentation losses and partition metrics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Experiment(NamedTuple):
    """What ``reproduce`` runs, and what it shows.

    Attributes:
        shows: a line.
        module: whose ``main`` it is; "" for the one of that name in :mod:`metriseg.experiments`,
            with underscores for dashes. A framework's own trainer is asked by its plugin.
        extra: what installs the plugin's needs.
    """

    shows: str
    module: str = ""
    extra: str = ""


EXPERIMENTS: Mapping[str, Experiment] = {
    "streets": Experiment(
        "losses compared on streets by MMSegmentation", "metriseg_mmseg.streets", "mmseg"
    ),
    "brains": Experiment(
        "losses compared on MRI volumes by MONAI", "metriseg_monai.brains", "monai"
    ),
    "masks": Experiment(
        "mask losses compared on nuclei by Detectron2", "metriseg_detectron2.masks", "detectron2"
    ),
    "power-jaccard": Experiment("tables 1 and 2 of the paper on power Jaccard losses: digits"),
    "dice-gradient": Experiment(
        "the gradient of the Dice loss, and losses that mimic it: hippocampus"
    ),
    "sensitivity": Experiment("every loss as false positives and false negatives grow"),
    "shapes": Experiment("the published experiment: SegNet learns to divide images of shapes"),
    "touching": Experiment("objects of one colour that touch, told apart by an embedding"),
    "nuclei": Experiment("nuclei in real images, told apart by places and the weighted metric"),
    "photographs": Experiment("a network that divides photographs as people do"),
    "bsds500": Experiment("partition metrics and their index on human segmentations"),
    "inverse_form": Experiment("the network of InverseFormLoss"),
}


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What the library refuses, as a line: exit code 2 for the options, 1 for the data."""
    try:
        yield
    except FAILURES as error:
        # it is how typer leaves, too
        if isinstance(error, typer.Exit):
            raise
        typer.echo(f"metriseg: {one_line(error)}", err=True)
        raise typer.Exit(2 if isinstance(error, Misused) else 1) from None


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"metriseg {metriseg.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Segmentation losses and partition metrics."""


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def reproduce(
    context: typer.Context,
    experiment: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Which; without it they are listed.")
    ] = None,
) -> None:
    """Run an experiment of the documentation; options after its name are its own (--help)."""
    if experiment is None or experiment == "--help":
        for name, one in EXPERIMENTS.items():
            typer.echo(f"{name:15}{one.shows}")
        return
    if experiment not in EXPERIMENTS:
        near = difflib.get_close_matches(experiment, EXPERIMENTS, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        typer.echo(
            f"NAME must be one of {', '.join(EXPERIMENTS)}, got {experiment}{hint}", err=True
        )
        raise typer.Exit(2)
    experiment_module(experiment).main(context.args)


@app.command()
def compare(
    a: Annotated[
        str | None,
        typer.Argument(metavar="A", help="A label map, such as the truth, or a folder of many."),
    ] = None,
    b: Annotated[
        str | None,
        typer.Argument(metavar="B", help="Another one of its shape, or a folder of as many."),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Compare the pairs of this CSV file: columns a and b."),
    ] = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="Folders of TIFF slices are volumes, not many maps.")
    ] = False,
    jobs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Compare many pairs in N processes.")
    ] = 1,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be repeated.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="Distances weighted by this image, too."),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only these weights; may be repeated."),
    ] = None,
    ignore: Annotated[
        list[int] | None,
        typer.Option(metavar="LABEL", help="Leave out its pixels, in A or B; may be repeated."),
    ] = None,
    ignore_a: Annotated[
        list[int] | None,
        typer.Option(metavar="LABEL", help="Leave out its pixels in A alone; may be repeated."),
    ] = None,
    ignore_b: Annotated[
        list[int] | None,
        typer.Option(metavar="LABEL", help="Leave out its pixels in B alone; may be repeated."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Compare only where this map of their shape isn't 0."),
    ] = None,
    components: Annotated[
        bool, typer.Option("--components", help="Compare connected components, not labels.")
    ] = False,
    bits: Annotated[
        bool, typer.Option("--bits", help="Give information in bits, not in nats.")
    ] = False,
    figure: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw both, and where they disagree.")
    ] = None,
    csv: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write every value: a line a pair.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two segmentations of the same pixels, or many.

    A and B are label maps: PNG, TIFF, NPY, NPZ, NIfTI, HDF5 as file.h5:name, Zarr, N5, precomputed
    chunks, or of BSDS: file.mat:0 is the first one. Of two folders, or patterns in quotation marks
    such as "truth/*.png", those of one name are compared.
    """
    with one_line_errors():
        asked = Asked(
            metric or (),
            family or (),
            left_out(ignore, ignore_a, ignore_b),
            components,
            "bits" if bits else "nats",
        )
        if figure is not None:
            _check_figure(figure)
        if csv is not None:
            _check_folder("--csv", csv)
        pairing = _pairing(a, b, pairs, stack)
        if pairing is not None:
            for option, given in {"figure": figure, "weights": weights, "mask": mask}.items():
                if given is not None:
                    column = "" if figure else f"; name them in a column of --pairs: {option}"
                    raise Misused(f"--{option} is for one pair, and there are many{column}")
            _compare_many(pairing, asked, jobs, csv, as_json)
            return
        _compare_one(Pair(f"{a} {b}", a or "", b or "", weights, mask), asked, figure, csv, as_json)


def _pairing(a: str | None, b: str | None, pairs: str | None, stack: bool) -> Pairing | None:
    """The pairs to compare; None of a single one."""
    if pairs is not None:
        if a is not None or stack:
            raise Misused("--pairs takes the place of A and B, and of --stack")
        return listed(pairs)
    if a is None or b is None:
        raise Misused(f"Missing argument {'A' if a is None else 'B'}, or --pairs pairs.csv")
    return paired(a, b, stack=stack)


def _compare_one(
    pair: Pair, asked: Asked, figure: str | None, csv: str | None, as_json: bool
) -> None:
    compared = compare_files(pair, asked)
    comparison, rows = compared.comparison, compared.rows
    for note in compared.notes:
        typer.echo(f"metriseg: {note}", err=True)
    if figure is not None:
        _draw(figure, comparison, (pair.a, pair.b))
    if csv is not None:
        table = comparison.table
        write_csv(csv, [Outcome(pair, table.shape, int(table.total), rows)])
    (print_json if as_json else print_table)(pair.a, pair.b, comparison.table, rows)
    if figure is not None and not as_json:
        typer.echo(figure)


def _compare_many(
    pairing: Pairing, asked: Asked, jobs: int, csv: str | None, as_json: bool
) -> None:
    """Exit code 1 where a pair failed, or a map has no partner."""
    for side, other in (("A", "B"), ("B", "A")):
        for path in pairing.alone[side]:
            typer.echo(f"metriseg: {path} has no partner in {other}", err=True)
    found = list(watched(outcomes(pairing.pairs, asked, jobs), len(pairing.pairs)))
    noted = [one for one in found if one.notes]
    for note in noted[0].notes if noted else ():
        few = "" if len(noted) == 1 else f" (and so in {len(noted)} pairs)"
        typer.echo(f"metriseg: {noted[0].pair.name}: {note}{few}", err=True)
    if csv is not None:
        write_csv(csv, found)
    lines = summaries(found)
    if as_json:
        print_summaries_json(found, lines, pairing.alone)
    else:
        print_summaries(found, lines)
    if any(one.error for one in found) or any(pairing.alone.values()):
        raise typer.Exit(1)


def experiment_module(name: str) -> Any:
    """Of one of :data:`EXPERIMENTS`; exit code 1 where what it needs isn't installed."""
    one = EXPERIMENTS[name]
    try:
        return importlib.import_module(
            one.module or f"metriseg.experiments.{name.replace('-', '_')}"
        )
    except ImportError as error:
        if not one.extra:
            raise
        typer.echo(f"metriseg: {error}: pip install '.[{one.extra}]'", err=True)
        raise typer.Exit(1) from None


def _check_figure(path: str) -> None:
    """Before anything is computed."""
    from metriseg.viz import checked_path

    with said_as(path="--figure"):
        checked_path(path)


def _check_folder(option: str, path: str) -> None:
    """Before anything is computed."""
    if not path or Path(path).is_dir() or not Path(path).parent.is_dir():
        raise ValueError(f"{option} must be a file in a folder that exists, got {path!r}")


def _draw(path: str, comparison: Comparison, names: tuple[str, str]) -> None:
    from metriseg.viz import save_partition_comparison

    try:
        save_partition_comparison(
            path,
            comparison.x,
            comparison.y,
            image=comparison.image,
            names=(Path(names[0]).name, Path(names[1]).name),
            table=comparison.table,
            mask=comparison.mask,
        )
    except OSError as error:
        raise ValueError(f"--figure {path} can't be written: {error}") from error
