"""The ways to partition a photograph: by its colours, and by what a network predicts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metriseg.experiments.photographs.networks import (
    Halved,
    Recipe,
    Training,
    boundary_recipe,
    joint_recipe,
    partition_recipe,
    predict,
    train,
)
from metriseg.experiments.photographs.regions import (
    Merging,
    kernel_edges,
    slic_pieces,
    watershed_pieces,
)
from metriseg.experiments.scikit_image import scikit_image
from metriseg.functional.partition import Weighting
from metriseg.models.unet import UNet

Float = NDArray[np.float64]
Labels = NDArray[np.int64]
Setting = Mapping[str, float]
#: Pieces of an image, and for each of some thresholds the region of every piece.
Cuts = tuple[Labels, list[Labels]]

#: Pixels of a small region: thresholds grow with its power as costs do.
TYPICAL = 144.0
#: What is tuned of merging.
SMALL, SHARE = (0.05, 0.1), (0.0, 0.4, 0.8)
#: Pixels: of the watershed's blur, and how far about a pixel an embedding is compared.
BLUR, REACH = 0.7, 3
#: Units of CIELAB that count as one of an embedding.
COLOUR = 40.0


class Plan(NamedTuple):
    """What is trained.

    Attributes:
        steps: with the partition distance.
        boundary_steps: with the boundaries alone.
        dim: of the embedding.
        windows: within which its pairs are compared, see :func:`partition_recipe`.
        frequencies: of its kernel.
        weightings: of the metric, a network each.
        training: all else; its own steps don't count.
        alone: whether to train with the partition distance alone, too.
    """

    steps: int = 600
    boundary_steps: int = 550
    dim: int = 8
    windows: tuple[int | None, ...] = (None,)
    frequencies: int = 64
    weightings: tuple[Weighting | None, ...] = (None, "union", "sum")
    training: Training = Training()
    alone: bool = False


class Method(NamedTuple):
    """A way to partition an image: ``cuts`` of it with one of ``settings``; its training's time."""

    name: str
    settings: list[Setting]
    cuts: Callable[[Halved, Setting], Cuts]
    seconds: float = 0.0


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
    boundary = boundary_recipe()
    recipes = [(boundary, plan.boundary_steps)]
    for weighting in plan.weightings:
        ours = partition_recipe(plan.dim, plan.windows, plan.frequencies, weighting=weighting)
        recipes.append((joint_recipe(ours, boundary), plan.steps))
        if plan.alone:
            recipes.append((ours, plan.steps))
    methods = []
    for recipe, steps in recipes:
        network, seconds = train(photographs, recipe, plan.training._replace(steps=steps))
        settings = grid(share=SHARE, small=SMALL)
        methods.append(Method(recipe.name, settings, network_cuts(network, recipe), seconds))
    return methods


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
