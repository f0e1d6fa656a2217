"""The command line: ``python -m metriseg compare A B``."""

from __future__ import annotations

import difflib
import importlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import metriseg
from metriseg import partitions
from metriseg.components import connected_components
from metriseg.data.label_maps import read_image, read_label_map
from metriseg.partitions import MEASURES, ContingencyTable, Measure, contingency_table

app = typer.Typer(
    help="Segmentation losses and partition metrics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

#: What ``reproduce`` runs: modules of :mod:`metriseg.experiments`, and what each shows.
EXPERIMENTS: Mapping[str, str] = {
    "bsds500": "partition metrics and their index on human segmentations",
    "shapes": "the published experiment: SegNet learns to divide images of shapes",
    "touching": "objects of one colour that touch, told apart by an embedding",
    "photographs": "a network that divides photographs as people do",
    "inverse_form": "the network of InverseFormLoss",
}

#: Of pixels that are ignored, when components are compared.
_LEFT_OUT = -1
#: For output that goes to a file or another programme.
_WIDTH = 120


@dataclass(frozen=True)
class Row:
    """A line of the result.

    Attributes:
        metric: its name in :data:`~metriseg.partitions.MEASURES`.
        family: what weighs it, "" where nothing does.
        value: of the two partitions.
        normalized: the same within 0 … 1, None where there is no such form.
        unit: of the value, "" for a pure number.
        is_metric: whether it obeys the axioms of a metric.
        best: the value of equal partitions.
    """

    metric: str
    family: str
    value: float
    normalized: float | None
    unit: str
    is_metric: bool
    best: float


@dataclass(frozen=True)
class Family:
    """A family of weights under which the partition distance stays a metric.

    Attributes:
        weight: makes the weight, for a number of pixels.
        measures: the pixel measures of an image that it is of, None for counts.
        features: the pixel features of an image that it is of, None without.
        of_color: whether these are of colours, else of brightness.
        unit: of the distance.
    """

    weight: Callable[[int], Any]
    measures: Callable[[Any], Any] | None = None
    features: Callable[[Any], Any] | None = None
    of_color: bool = False
    unit: str = "pixels²"

    @property
    def needs_image(self) -> bool:
        return self.measures is not None or self.features is not None


def families() -> Mapping[str, Family]:
    """By the names that ``--family`` takes."""

    def kernel(pixels: int) -> Any:
        return partitions.KernelWeight()

    def unlike(greatest: float) -> Callable[[int], Any]:
        """The greatest difference counts as all the pixels."""
        return lambda pixels: partitions.FeatureWeight(pixels / greatest)

    return {
        "intensity-kernel": Family(kernel, measures=partitions.intensity_bins),
        "color-kernel": Family(kernel, measures=partitions.color_bins, of_color=True),
        "texture-kernel": Family(kernel, measures=partitions.texture_bins),
        "intensity-features": Family(unlike(1), features=partitions.intensity_features),
        "color-features": Family(unlike(100), features=partitions.color_features, of_color=True),
        "texture-features": Family(unlike(1), features=partitions.texture_features),
        "union": Family(lambda pixels: partitions.UnionWeight(), unit="pixels"),
    }


class Misused(ValueError):
    """A name or a combination of options that the command line doesn't have."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What the library refuses, as a line: exit code 2 for the options, 1 for the data."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        typer.echo(f"metriseg: {' '.join(str(error).split())}", err=True)
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
        for name, what in EXPERIMENTS.items():
            typer.echo(f"{name:14}{what}")
        return
    if experiment not in EXPERIMENTS:
        near = difflib.get_close_matches(experiment, EXPERIMENTS, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        typer.echo(
            f"NAME must be one of {', '.join(EXPERIMENTS)}, got {experiment}{hint}", err=True
        )
        raise typer.Exit(2)
    module = importlib.import_module(f"metriseg.experiments.{experiment}")
    module.main(context.args)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A label map, such as the truth.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one of its shape.")],
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be repeated.")
    ] = None,
    weights: Annotated[
        Path | None,
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
    components: Annotated[
        bool, typer.Option("--components", help="Compare connected components, not labels.")
    ] = False,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw both, and where they disagree.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two segmentations of the same pixels.

    A and B are label maps: PNG, TIFF, NPY, NIfTI, Zarr, or of BSDS: file.mat:0 is the first one.
    """
    with one_line_errors():
        measures = _measures(metric or [])
        chosen = _families(family or [], weights)
        image = None if weights is None else read_image(weights)
        x, y = read_label_map(a), read_label_map(b)
        if x.shape != y.shape:
            raise ValueError(f"B must have the shape of A, {x.shape}, got {y.shape}")
        if image is not None and image.shape not in (x.shape, (*x.shape, 3)):
            raise ValueError(
                f"--weights must be an image of shape {x.shape} or {(*x.shape, 3)}, got"
                f" {image.shape}"
            )
        left_out = ignore or []
        if components:
            x, y = _components(x, left_out), _components(y, left_out)
            left_out = [_LEFT_OUT]
        comparison = Comparison(x, y, image, left_out)
        rows = [comparison.row(measure) for measure in measures]
        rows += [
            comparison.weighted_row(name, one)
            for name, one in chosen.items()
            if family or comparison.is_colored or not one.of_color
        ]
        if figure is not None:
            _draw(figure, comparison, (a, b))
        (_print_json if as_json else _print_table)(a, b, comparison.table, rows)
        if figure is not None and not as_json:
            typer.echo(figure)


class Comparison:
    """Two label maps, and what to weigh them by.

    Args:
        x: label map.
        y: label map of the same shape.
        image: of that shape, or with three colours; or None.
        ignore: labels to leave out.
    """

    def __init__(self, x: Any, y: Any, image: Any, ignore: Sequence[int]) -> None:
        self.x, self.y, self.image, self.ignore = x, y, image, ignore
        self.table = self._count()

    @property
    def is_colored(self) -> bool:
        """Whether there is an image that has colours in the sense of sRGB."""
        return self.image is not None and self.image.ndim == len(self.x.shape) + 1 == 3

    def row(self, measure: Measure) -> Row:
        """What a measure makes of them."""
        table = self._described() if measure.needs == "features" else self.table
        normalized = measure.normalized
        return Row(
            metric=measure.name,
            family="",
            value=measure(table),
            normalized=None if normalized is None else normalized(table),
            unit=measure.unit,
            is_metric=measure.is_metric,
            best=measure.best,
        )

    def weighted_row(self, name: str, family: Family) -> Row:
        """The partition distance with the weights of a family."""
        weight = family.weight(self.table.total)
        table = self._count(
            weight=None if family.measures is None else family.measures(self._seen(family)),
            features=None if family.features is None else family.features(self._seen(family)),
        )
        distance = partitions.weighted_partition_distance
        # with features the greatest distance depends on the image
        is_bounded = family.features is None
        return Row(
            metric="weighted_partition_distance",
            family=name,
            value=distance(table, weight),
            normalized=distance(table, weight, normalized=True) if is_bounded else None,
            unit=family.unit,
            is_metric=weight.is_metric,
            best=0.0,
        )

    def _seen(self, family: Family) -> NDArray[Any]:
        return within_unit(self.image) if family.of_color else brightness(self.image, self.x.ndim)

    def _described(self) -> ContingencyTable:
        """With features of the regions, for measures that need them."""
        if self.image is None:
            raise Misused("metrics of region features need an image: --weights image.png")
        if self.is_colored:
            return self._count(features=partitions.color_features(within_unit(self.image)))
        seen = brightness(self.image, self.x.ndim)
        return self._count(features=partitions.intensity_features(seen))

    def _count(self, weight: Any = None, features: Any = None) -> ContingencyTable:
        return contingency_table(
            self.x, self.y, weight=weight, features=features, ignore=self.ignore or None
        )


def within_unit(image: NDArray[Any]) -> NDArray[np.float64]:
    """Values in 0 … 1: of the whole range of an unsigned type, else of the range that occurs.

    Floating-point values that are in 0 … 1 stay as they are.
    """
    values = image.astype(np.float64)
    if image.dtype.kind == "u":
        return values / np.iinfo(image.dtype).max
    low, high = float(values.min()), float(values.max())
    if image.dtype.kind == "b" or (image.dtype.kind == "f" and low >= 0 and high <= 1):
        return values
    return (values - low) / ((high - low) or 1.0)


def brightness(image: NDArray[Any], dimensions: int) -> NDArray[np.float64]:
    """``(*S)`` of so many dimensions, in 0 … 1: of colours the luma of Rec. 601."""
    values = within_unit(image)
    if image.ndim == dimensions:
        return values
    luma: NDArray[np.float64] = (values @ np.array([0.299, 0.587, 0.114])).clip(0, 1)
    return luma


def _measures(names: Sequence[str]) -> list[Measure]:
    """Those named; of no names all that need no image."""
    if not names:
        return [measure for measure in MEASURES.values() if measure.needs != "features"]
    return [MEASURES[_known("--metric", name, MEASURES)] for name in names]


def _families(names: Sequence[str], image: Path | None) -> dict[str, Family]:
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


def _components(labels: Any, ignore: Sequence[int]) -> Any:
    """Each label's connected components, apart from what is ignored."""
    array = np.asarray(labels)
    return np.where(np.isin(array, ignore), _LEFT_OUT, connected_components(array))


def _draw(path: Path, comparison: Comparison, names: tuple[str, str]) -> None:
    from metriseg.viz import save_partition_comparison

    save_partition_comparison(
        path,
        comparison.x,
        comparison.y,
        image=comparison.image,
        names=(Path(names[0]).name, Path(names[1]).name),
        table=comparison.table,
    )


def _print_table(a: str, b: str, table: ContingencyTable, rows: Sequence[Row]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    for side, name, regions in zip("AB", (a, b), table.shape, strict=True):
        console.print(Text(f"{side}  {name}: {_counted(regions, 'region')}"), soft_wrap=True)
    console.print(Text(f"   {_counted(table.total, 'pixel')} compared"))
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for title in ("metric", "value", "normalized", "unit", "metric?", "best"):
        is_number = title in ("value", "normalized", "best")
        shown.add_column(title, justify="right" if is_number else "left", no_wrap=is_number)
    for row in rows:
        shown.add_row(
            Text(f"weighted: {row.family}" if row.family else row.metric),
            _number(row.value),
            "" if row.normalized is None else _number(row.normalized),
            row.unit,
            "yes" if row.is_metric else "no",
            _number(row.best),
        )
    console.print(shown)


def _print_json(a: str, b: str, table: ContingencyTable, rows: Sequence[Row]) -> None:
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
