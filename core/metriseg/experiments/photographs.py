"""Networks taught to partition photographs as people do, beside the usual ways.

``python -m metriseg.experiments.photographs`` trains on 70 of the 100 photographs of
:class:`~metriseg.data.bsds500.BSDS500` and tests on the other 30, on the CPU in about ten minutes.
Ours is a network that learns boundaries and, by the partition distance of an embedding, which
pixels of a crop belong together; the baseline is the same network taught the boundaries alone
(``--alone``: the partition distance alone, too); the table says how long each trained. Beside them
stand colour methods without training, the trivial partitions, and what another human does. The
networks are those of :mod:`metriseg.experiments.photographs_networks`, the merging of their regions
that of :mod:`metriseg.experiments.photographs_regions`.

How regions are merged, and how far, is tuned on every third training photograph, for all methods
by the same rule, twice: for the variation of information, and for the partition distance. The table
has means over the test photographs of the mean over the humans of each, at full resolution.
``--output`` writes it as ``photographs.md`` and ``photographs.csv``, with a picture of some test
photographs, ``photographs.png``.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metriseg.data.bsds500 import BSDS500, Photograph
from metriseg.experiments.photographs_networks import (
    Halved,
    Recipe,
    Training,
    boundary_recipe,
    enlarged,
    halved,
    joint_recipe,
    partition_recipe,
    predict,
    train,
)
from metriseg.experiments.photographs_regions import (
    Counted,
    Merging,
    kernel_edges,
    slic_pieces,
    watershed_pieces,
)
from metriseg.experiments.scikit_image import scikit_image
from metriseg.models.unet import UNet
from metriseg.partitions import (
    PartitionScores,
    mean_scores,
    partition_distance,
    variation_of_information,
)

Float = NDArray[np.float64]
Labels = NDArray[np.int64]
Setting = Mapping[str, float]
#: Pieces of an image, and for each of some thresholds the region of every piece.
Cuts = tuple[Labels, list[Labels]]

#: Of ten photographs in the order of their names, those that are tested.
TESTED = (2, 5, 8)
#: Pixels of a small region: thresholds grow with its power as costs do.
TYPICAL = 144.0
#: What is tuned of merging.
SMALL, SHARE = (0.05, 0.1), (0.0, 0.4, 0.8)
#: Pixels: of the watershed's blur, and how far about a pixel an embedding is compared.
BLUR, REACH = 0.7, 3
#: Units of CIELAB that count as one of an embedding.
COLOUR = 40.0
#: The scores of the table, in its order.
COLUMNS = ("normalized_partition_distance", "variation_of_information", "split", "merge",
           "adapted_rand_error")  # fmt: skip
#: Test photographs in the picture.
SHOWN = (1, 6, 11, 16, 21)
#: Of the training photographs, one in so many has a say in tuning.
TUNED = 3


class Split(NamedTuple):
    """The photographs that are trained and tuned on, and those that are tested."""

    train: list[Photograph]
    test: list[Photograph]


class Plan(NamedTuple):
    """What is trained.

    Attributes:
        steps: with the partition distance.
        boundary_steps: with the boundaries alone.
        dim: of the embedding.
        windows: within which its pairs are compared, see :func:`partition_recipe`.
        frequencies: of its kernel.
        training: all else; its own steps don't count.
        alone: whether to train with the partition distance alone, too.
    """

    steps: int = 600
    boundary_steps: int = 550
    dim: int = 8
    windows: tuple[int | None, ...] = (None,)
    frequencies: int = 64
    training: Training = Training()
    alone: bool = False


class Method(NamedTuple):
    """A way to partition an image: ``cuts`` of it with one of ``settings``; its training's time."""

    name: str
    settings: list[Setting]
    cuts: Callable[[Halved, Setting], Cuts]
    seconds: float = 0.0


class Choice(NamedTuple):
    """A setting and the place of a threshold, with the mean score that chose them."""

    setting: Setting
    threshold: int
    score: float


class Row(NamedTuple):
    """A row of the table."""

    method: str
    tuned_for: str
    scores: dict[str, float]
    segments: float
    seconds: float


#: What methods are tuned for.
AIMS: Mapping[str, Callable[[Any], float]] = {
    "variation of information": variation_of_information,
    "partition distance": lambda table: partition_distance(table, normalized=True),
}


def split(photographs: Sequence[Photograph]) -> Split:
    """Three of every ten are tested."""
    test = [one for number, one in enumerate(photographs) if number % 10 in TESTED]
    rest = [one for number, one in enumerate(photographs) if number % 10 not in TESTED]
    return Split(rest, test)


def grid(**values: Sequence[float]) -> list[Setting]:
    """Every combination."""
    return [
        dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())
    ]


def felzenszwalb_cuts(one: Halved, setting: Setting) -> Cuts:
    """Felzenszwalb and Huttenlocher 2004, doi:10.1023/B:VISI.0000022288.19776.77."""
    pieces = scikit_image("segmentation").felzenszwalb(
        picture(one), setting["scale"], 0.8, int(setting["min_size"])
    )
    pieces = np.unique(pieces, return_inverse=True)[1].reshape(pieces.shape)
    return pieces, [np.arange(int(pieces.max()) + 1)]


def slic_cuts(one: Halved, setting: Setting) -> Cuts:
    """Superpixels, merged by the distance of their mean colours (CIELAB)."""
    pieces = slic_pieces(picture(one), 300)
    merging = Merging(pieces, features=lab(one), small=setting["small"])
    return pieces, merging.cuts(np.geomspace(4, 60, 23) * TYPICAL ** setting["small"])


def network_cuts(network: UNet, recipe: Recipe) -> Callable[[Halved, Setting], Cuts]:
    """Basins of the predicted edges, merged by their borders and by the means of features.

    Edges are the boundary's probability, the kernel's complement a few pixels apart in the
    embedding, or the mean of both, whatever the network predicts; features are colours, and the
    embedding where there is one.
    """
    known: dict[str, tuple[Float, Float]] = {}

    def seen(one: Halved) -> tuple[Float, Float]:
        if one.name not in known:
            prediction = predict(network, one)
            found = [prediction[0].sigmoid().numpy()] if recipe.boundary else []
            features = lab(one) / COLOUR
            if recipe.dim:
                embedding = prediction[-recipe.dim :].numpy().astype(np.float64)
                features = np.concatenate([features, embedding])
                found.append(kernel_edges(embedding, REACH))
            known[one.name] = np.mean(found, 0, dtype=np.float64), features
        return known[one.name]

    def cuts(one: Halved, setting: Setting) -> Cuts:
        edges, features = seen(one)
        pieces = watershed_pieces(edges, BLUR)
        merging = Merging(pieces, edges=edges, features=features, **setting)
        scale = (1 + setting["share"]) * TYPICAL ** setting["small"]
        return pieces, merging.cuts(np.linspace(0.2, 1.3, 23) * scale)

    return cuts


def lab(one: Halved) -> Float:
    """``(3, h, w)``: CIELAB."""
    colours: Float = scikit_image("color").rgb2lab(picture(one)).transpose(2, 0, 1)
    return colours


def picture(one: Halved) -> NDArray[np.uint8]:
    """``(h, w, 3)``: the photograph at half resolution."""
    found: NDArray[np.uint8] = (
        ((one.image + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous().numpy()
    )
    return found


def tune(method: Method, photographs: Sequence[Halved]) -> dict[str, Choice]:
    """For each aim the setting and threshold with the least mean over photographs."""
    chosen: dict[str, Choice] = {}
    for setting in method.settings:
        means = []
        for one in photographs:
            pieces, cuts = method.cuts(one, setting)
            counted = Counted(pieces, list(one.people.numpy()))
            tables = [counted.tables_of(regions) for regions in cuts]
            means.append(
                [
                    [float(np.mean([aim(table) for table in of_cut])) for aim in AIMS.values()]
                    for of_cut in tables
                ]
            )
        for name, scores in zip(AIMS, np.mean(means, 0).T, strict=True):
            best = int(scores.argmin())
            if name not in chosen or scores[best] < chosen[name].score:
                chosen[name] = Choice(setting, best, float(scores[best]))
    for name, choice in chosen.items():
        progress(
            f"{method.name}: {name} {choice.score:.3f} on training photographs with"
            f" {dict(choice.setting)}, cut {choice.threshold}"
        )
    return chosen


def partition(method: Method, choice: Choice, one: Halved) -> Labels:
    """A label map of the photograph's own size."""
    pieces, cuts = method.cuts(one, choice.setting)
    return enlarged(cuts[choice.threshold][pieces], one.whole[0].shape)


def row(name: str, aim: str, found: Iterable[tuple[Labels, list[Labels]]], seconds: float) -> Row:
    """Means over photographs of what a label map scores against each of some humans."""
    score, images, segments = PartitionScores(segments="labels"), [], []
    for labels, people in found:
        images.append(mean_scores([score(one, labels) for one in people]))
        segments.append(len(np.unique(labels)))
    return Row(name, aim, mean_scores(images), float(np.mean(segments)), seconds)


def human_row(photographs: Sequence[Halved]) -> Row:
    """Every human against the others of the same photograph."""
    found = [
        (labels, [*one.whole[:number], *one.whole[number + 1 :]])
        for one in photographs
        for number, labels in enumerate(one.whole)
    ]
    return row("another human", "", found, 0.0)


def trivial_rows(photographs: Sequence[Halved]) -> list[Row]:
    """All pixels in one segment, and each in its own."""
    shapes = [one.whole[0].shape for one in photographs]
    single = [np.zeros(shape, np.int64) for shape in shapes]
    apart = [np.arange(int(np.prod(shape))).reshape(shape) for shape in shapes]
    people = [one.whole for one in photographs]
    return [
        row("one segment", "", zip(single, people, strict=True), 0.0),
        row("each pixel its own", "", zip(apart, people, strict=True), 0.0),
    ]


def colour_methods() -> list[Method]:
    """Those without training."""
    return [
        Method(
            "Felzenszwalb",
            grid(scale=(100, 200, 400, 800, 1600), min_size=(50, 150, 400)),
            felzenszwalb_cuts,
        ),
        Method("SLIC, merged by colour", grid(small=SMALL), slic_cuts),
    ]


def taught_methods(photographs: Sequence[Halved], plan: Plan) -> list[Method]:
    """Networks, one after the other."""
    boundary, ours = boundary_recipe(), partition_recipe(plan.dim, plan.windows, plan.frequencies)
    recipes = [(boundary, plan.boundary_steps), (joint_recipe(ours, boundary), plan.steps)]
    if plan.alone:
        recipes.append((ours, plan.steps))
    methods = []
    for recipe, steps in recipes:
        network, seconds = train(photographs, recipe, plan.training._replace(steps=steps))
        settings = grid(share=SHARE, small=SMALL)
        methods.append(Method(recipe.name, settings, network_cuts(network, recipe), seconds))
    return methods


def run(photographs: Split, plan: Plan) -> tuple[list[Row], dict[str, list[Labels]]]:
    """The table, and the partitions of the test photographs by method, tuned for VI."""
    training = [halved(one) for one in photographs.train]
    test = [halved(one) for one in photographs.test]
    rows = trivial_rows(test)
    maps: dict[str, list[Labels]] = {}
    for method in [*colour_methods(), *taught_methods(training, plan)]:
        for aim, choice in tune(method, training[::TUNED]).items():
            found = [partition(method, choice, one) for one in test]
            maps.setdefault(method.name, found)
            pairs = [(labels, one.whole) for labels, one in zip(found, test, strict=True)]
            rows.append(row(method.name, aim, pairs, method.seconds))
    return [*rows, human_row(test)], maps


def report(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    lines = [
        "| method | tuned for | partition distance | VI | split | merge | adapted Rand error"
        " | segments | training, s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in rows:
        scores = " | ".join(f"{one.scores[name]:.3f}" for name in COLUMNS)
        seconds = f"{one.seconds:.0f}" if one.seconds else ""
        lines.append(
            f"| {one.method} | {one.tuned_for} | {scores} | {one.segments:.1f} | {seconds} |"
        )
    return "\n".join(lines)


def save_picture(
    path: Path, photographs: Sequence[Halved], columns: Mapping[str, Sequence[Labels]]
) -> None:
    """A row a photograph: itself, then the borders of each column's partition on it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    segmentation = scikit_image("segmentation")
    names = ["photograph", *columns]
    figure = Figure(figsize=(3 * len(names), 2.2 * len(photographs)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(photographs), len(names), squeeze=False)
    for number, one in enumerate(photographs):
        image = picture(one).repeat(2, 0).repeat(2, 1)
        height, width = image.shape[:2]
        drawn = [image]
        for maps in columns.values():
            labels = maps[number][:height, :width]
            drawn.append(segmentation.mark_boundaries(image, labels, (1, 1, 0), mode="thick"))
        for axis, name, pixels in zip(axes[number], names, drawn, strict=True):
            axis.imshow(pixels)
            axis.set_axis_off()
            if number == 0:
                axis.set_title(name.replace(" + ", " +\n"))
    figure.savefig(path, dpi=90)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, tune, test, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--data", help="the folder that bsds500 lies in; else $METRISEG_DATA")
    parser.add_argument("--output", type=Path, help="a folder to write the table and picture to")
    parser.add_argument("--steps", type=int, default=Plan().steps, help="of training, for ours")
    parser.add_argument(
        "--boundary-steps", type=int, default=Plan().boundary_steps, help="for the baseline"
    )
    parser.add_argument(
        "--alone", action="store_true", help="train with the partition distance alone, too"
    )
    parser.add_argument("--photographs", type=int, default=100, help="how many of them to use")
    given = parser.parse_args(arguments)
    plan = Plan(given.steps, given.boundary_steps, alone=given.alone)
    chosen = split(BSDS500(given.data)[: given.photographs])
    rows, maps = run(chosen, plan)
    text = report(rows)
    print(text)
    if given.output is None:
        return
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "photographs.md").write_text(text + "\n")
    with (given.output / "photographs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "tuned_for", *COLUMNS, "segments", "seconds"])
        for one in rows:
            scores = [one.scores[name] for name in COLUMNS]
            writer.writerow([one.method, one.tuned_for, *scores, one.segments, one.seconds])
    shown = [number for number in SHOWN if number < len(chosen.test)]
    test = [halved(chosen.test[number]) for number in shown]
    columns = {"one human": [one.whole[0] for one in test]}
    columns |= {name: [found[number] for number in shown] for name, found in maps.items()}
    save_picture(given.output / "photographs.png", test, columns)


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
