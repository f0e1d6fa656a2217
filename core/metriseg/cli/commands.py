"""The commands and their options."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

import metriseg
from metriseg.arrays import integer_array, is_among
from metriseg.cli.comparison import Comparison, Family, Misused, families
from metriseg.cli.printing import print_json, print_table
from metriseg.components import connected_components
from metriseg.data.label_maps import read_image, read_label_map
from metriseg.data.nifti import check_one_space
from metriseg.partitions import MEASURES, Measure
from metriseg.partitions.counting import ignored_labels
from metriseg.partitions.objects import object_names

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

#: Of pixels that are ignored, when components are compared.
_LEFT_OUT = -1


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What the library refuses, as a line: exit code 2 for the options, 1 for the data."""
    try:
        yield
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        typer.echo(f"metriseg: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2 if isinstance(error, Misused) else 1) from None
    except MemoryError as error:
        typer.echo(f"metriseg: out of memory: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(1) from None


@contextmanager
def said_as(**names: str) -> Iterator[None]:
    """What the library says of an argument, said of what the user typed."""
    try:
        yield
    except (ValueError, OSError) as error:
        argument, _, rest = str(error).partition(" ")
        if argument not in names:
            raise
        # where a file is named anyway, it follows
        named = names[argument]
        kind = Misused if isinstance(error, Misused) else ValueError
        raise kind(f"{named} {rest}") from error


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
    a: Annotated[str, typer.Argument(metavar="A", help="A label map, such as the truth.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one of its shape.")],
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two segmentations of the same pixels.

    A and B are label maps: PNG, TIFF, NPY, NIfTI, Zarr, or of BSDS: file.mat:0 is the first one.
    """
    with one_line_errors():
        measures = _measures(metric or [])
        chosen = _families(family or [], weights)
        if figure is not None:
            _check_figure(figure)
        image = None
        if weights is not None:
            with said_as(path="--weights"):
                image = read_image(weights)
        with said_as(path="A"):
            x = read_label_map(a)
        with said_as(path="B"):
            y = read_label_map(b)
        if x.shape != y.shape:
            raise ValueError(f"B must have the shape of A, {x.shape}, got {y.shape}")
        if image is not None and image.shape not in (x.shape, (*x.shape, 3)):
            raise ValueError(
                f"--weights must be an image of shape {x.shape} or {(*x.shape, 3)}, got"
                f" {image.shape}"
            )
        counted = None if mask is None else _mask(mask, x.shape)
        others = {"--weights": weights, "--mask": mask}
        named = {option: path for option, path in others.items() if path is not None}
        check_one_space({"A": a, "B": b, **named})
        left_out = _left_out(ignore, ignore_a, ignore_b)
        names: tuple[Any, Any] = (None, None)
        if components:
            classes = x, y
            with said_as(labels=f"A {a}"):
                x = _components(x, left_out["x"], counted)
            with said_as(labels=f"B {b}"):
                y = _components(y, left_out["y"], counted)
            left_out = {"x": [_LEFT_OUT], "y": [_LEFT_OUT]}
            names = (
                object_names(x, integer_array("A", classes[0])),
                object_names(y, integer_array("B", classes[1])),
            )
        with said_as(**_names(a, b, weights)):
            comparison = Comparison(
                x, y, image, left_out, counted, names, "bits" if bits else "nats"
            )
            rows = [comparison.row(measure) for measure in measures]
            rows += [
                comparison.weighted_row(name, one)
                for name, one in chosen.items()
                if family or comparison.is_colored or not one.of_color
            ]
        if figure is not None:
            _draw(figure, comparison, (a, b))
        (print_json if as_json else print_table)(a, b, comparison.table, rows)
        if figure is not None and not as_json:
            typer.echo(figure)


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


def _measures(names: Sequence[str]) -> list[Measure]:
    """Those named; of no names all that need no image."""
    if not names:
        return [measure for measure in MEASURES.values() if measure.is_plain]
    return [MEASURES[_known("--metric", name, MEASURES)] for name in names]


def _families(names: Sequence[str], image: str | None) -> dict[str, Family]:
    """Those named; of no names all, where there is an image."""
    if not names and image is None:
        return {}
    known = families()
    chosen = {name: known[_known("--family", name, known)] for name in names or known}
    for name, one in chosen.items():
        if one.needs_image and image is None:
            raise Misused(f"--family {name} needs an image: --weights image.png")
    return chosen


def _known(option: str, name: str, known: Collection[str]) -> str:
    if name in known:
        return name
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"nearest are {', '.join(nearest)}; " if nearest else ""
    raise Misused(f"{option} {name!r} is unknown: {hint}there are {', '.join(known)}")


def _names(a: str, b: str, weights: str | None) -> dict[str, str]:
    """By the names of the library's arguments, what was typed for them."""
    image = f"--weights {weights}"
    maps = {"x": f"A {a}", "y": f"B {b}", "table": "the comparison"}
    return maps | dict.fromkeys(("image", "weight", "features", "value_range"), image)


def _left_out(
    both: list[int] | None, a: list[int] | None, b: list[int] | None
) -> dict[str, list[int]]:
    """The labels to leave out of each map, checked."""
    for option, labels in (("--ignore", both), ("--ignore-a", a), ("--ignore-b", b)):
        with said_as(ignore=option):
            ignored_labels(labels)
    return {"x": [*(both or []), *(a or [])], "y": [*(both or []), *(b or [])]}


def _mask(path: str, shape: tuple[int, ...]) -> Any:
    """The pixels that count."""
    with said_as(path="--mask"):
        values = np.asarray(read_label_map(path))
    if values.shape != shape:
        raise ValueError(f"--mask must have the shape of A, {shape}, got {values.shape}")
    return values != 0


def _components(labels: Any, ignore: Sequence[int], mask: Any) -> Any:
    """Each label's connected components; what is ignored is in none, and no label of its own."""
    array = integer_array("labels", labels)
    valid = ~is_among(array, ignore)
    return connected_components(array, valid=valid if mask is None else valid & mask)


def _check_figure(path: str) -> None:
    """Before anything is computed."""
    from metriseg.viz import checked_path

    with said_as(path="--figure"):
        checked_path(path)


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
