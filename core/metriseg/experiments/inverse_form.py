"""Training of the network behind :class:`~metriseg.losses.InverseFormLoss`.

``python -m metriseg.experiments.inverse_form --output weights.npz`` draws masks, warps each by a
random affine map and teaches :class:`~metriseg.models.inverse_form.InverseNetwork` to tell the
map from the two edge maps, by the mean squared error of its six numbers. Half of the masks are
handwritten digits (:mod:`metriseg.data.digits`: MNIST under ``$METRISEG_DATA``, or else
scikit-learn's), half are random partitions of the image. The prediction's edges come from
probabilities of random sharpness, the truth's from labels, both at a random resolution. Every pair
serves under all eight symmetries of the square.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from metriseg import functional as F
from metriseg.data.digits import Split, load_digits
from metriseg.models.inverse_form import InverseNetwork, load_network, save_weights


@dataclass(frozen=True)
class Ranges:
    """The affine maps: uniform within plus or minus these numbers.

    Attributes:
        rotation: degrees.
        log_scale: natural logarithm of the scale, the same along both axes.
        stretch: natural logarithm of the ratio between the axes' scales.
        shear: off-diagonal entry.
        translation: in half sides of a tile.
    """

    rotation: float = 20.0
    log_scale: float = 0.2
    stretch: float = 0.1
    shear: float = 0.15
    translation: float = 0.3


class Pairs(NamedTuple):
    """Edge maps and what maps one to the other.

    Attributes:
        tiles: ``(B, 2, side, side)``: predicted and true edges.
        theta: ``(B, 2, 3)``: the truth at x is the prediction at theta (x, 1), x in the
            coordinates of ``affine_grid``.
    """

    tiles: Tensor
    theta: Tensor

    def chosen(self, which: Tensor) -> Pairs:
        return Pairs(self.tiles[which], self.theta[which])

    def turned(self, symmetry: int) -> Pairs:
        """Under one of the eight symmetries of the square: the bits mirror x, y and swap them."""
        tiles, linear, shift = self.tiles, self.theta[..., :2], self.theta[..., 2:]
        signs = torch.tensor([-1.0 if symmetry & 1 else 1.0, -1.0 if symmetry & 2 else 1.0])
        tiles = tiles.flip([axis for bit, axis in ((1, 3), (2, 2)) if symmetry & bit])
        linear, shift = signs[:, None] * linear * signs, signs[:, None] * shift
        if symmetry & 4:
            tiles, linear, shift = tiles.transpose(2, 3), linear.flip(1, 2), shift.flip(1)
        return Pairs(tiles, torch.cat([linear, shift], -1))


def random_maps(count: int, ranges: Ranges, generator: torch.Generator) -> Tensor:
    """(count, 2, 3): rotation x scales x shear, then a translation."""

    def uniform(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle = uniform(math.radians(ranges.rotation))
    scale, stretch = uniform(ranges.log_scale), uniform(ranges.stretch)
    shear, zero, one = uniform(ranges.shear), torch.zeros(count), torch.ones(count)
    rotation = _matrices(angle.cos(), -angle.sin(), angle.sin(), angle.cos())
    scales = _matrices((scale + stretch).exp(), zero, zero, (scale - stretch).exp())
    shears = _matrices(one, shear, zero, one)
    translation = torch.stack([uniform(ranges.translation), uniform(ranges.translation)], -1)
    return torch.cat([rotation @ scales @ shears, translation[..., None]], -1)


class Masks:
    """Draws pairs of edge maps.

    Args:
        split: which of the digits.
        ranges: of the maps to be told.
        seed: of everything that is drawn.
    """

    #: Pixels along each side of the images whose edges are seen.
    resolutions = (24, 32, 48, 64)
    #: Where in a partition's or a digit's own plane a tile lies.
    poses = Ranges(rotation=180.0, log_scale=0.4, stretch=0.2, shear=0.2, translation=0.25)

    def __init__(self, split: Split, ranges: Ranges, seed: int) -> None:
        self.ranges = ranges
        self.generator = torch.Generator().manual_seed(seed)
        digits = load_digits(split)
        self.source = digits.source
        self.digits = torch.from_numpy(digits.images).float() / 255

    def draw(self, count: int, chunk: int = 128) -> Pairs:
        """``count`` pairs; every ``chunk`` of them is seen at one resolution."""
        sizes = [min(chunk, count - start) for start in range(0, count, chunk)]
        tiles, theta = zip(*(self._draw(size) for size in sizes), strict=True)
        return Pairs(torch.cat(tiles), torch.cat(theta))

    def _draw(self, count: int) -> Pairs:
        pose = random_maps(count, self.poses, self.generator)
        theta = random_maps(count, self.ranges, self.generator)
        resolution = self.resolutions[self._integer(len(self.resolutions))]
        half = count // 2
        kinds = (
            (*self._digits(half), slice(half)),
            (*self._partitions(count - half), slice(half, None)),
        )
        predicted, true = [], []
        for sources, padding, part in kinds:
            before = _seen(sources, padding, pose[part], resolution)
            after = _seen(sources, padding, composed(pose, theta)[part], resolution)
            predicted.append(self._predicted_edges(before))
            true.append(F.label_edges(after.argmax(1)))
        tiles = [
            F.edge_tiles(torch.cat(edges), (1, 1), InverseNetwork.tile_side)
            for edges in (predicted, true)
        ]
        return Pairs(torch.cat(tiles, 1), theta)

    def _integer(self, high: int) -> int:
        return int(torch.randint(high, (), generator=self.generator))

    def _digits(self, count: int) -> tuple[Tensor, str]:
        """Scores of background and digit."""
        chosen = torch.randint(len(self.digits), (count,), generator=self.generator)
        digits = self.digits[chosen][:, None]
        return torch.cat([1 - digits, digits], 1), "border"

    def _partitions(self, count: int) -> tuple[Tensor, str]:
        """Scores of a few regions: smooth noise."""
        cells = 3 + self._integer(4)
        classes = 2 + self._integer(4)
        noise = torch.randn(count, classes, cells, cells, generator=self.generator) / 2
        smooth = nnf.interpolate(noise, size=(48, 48), mode="bicubic", align_corners=True)
        return smooth, "reflection"

    def _predicted_edges(self, scores: Tensor) -> Tensor:
        """Half of the predictions certain, half of them more or less blurred."""
        sharpness = 5 * 20 ** torch.rand(len(scores), 1, 1, 1, generator=self.generator)
        edges = F.region_edges((scores * sharpness).softmax(1))
        certain = torch.rand(len(scores), 1, 1, generator=self.generator) < 0.5
        return torch.where(certain, F.label_edges(scores.argmax(1)), edges)


def composed(outer: Tensor, inner: Tensor) -> Tensor:
    """(B, 2, 3): x to outer(inner(x))."""
    linear, shift = outer[..., :2], outer[..., 2:]
    return torch.cat([linear @ inner[..., :2], linear @ inner[..., 2:] + shift], -1)


def error(network: nn.Module, pairs: Pairs) -> float:
    """The mean squared error of the six numbers."""
    with torch.no_grad():
        return float(nnf.mse_loss(network(pairs.tiles), pairs.theta.flatten(1)))


def error_of_identity(pairs: Pairs) -> float:
    """That of a network that sees nothing."""
    return float((pairs.theta - torch.eye(2, 3)).square().mean())


@dataclass(frozen=True)
class Settings:
    """All that the weights depend on.

    Attributes:
        steps: of the optimiser.
        pairs: different ones to learn from.
        batch: pairs a step.
        rate: the highest learning rate.
        seed: of the weights, the masks and their order.
    """

    steps: int = 4000
    pairs: int = 24576
    batch: int = 128
    rate: float = 5e-3
    seed: int = 0


def train(settings: Settings, ranges: Ranges | None = None) -> InverseNetwork:
    """A network that has learnt the maps of the digits' training split and of partitions."""
    pool = Masks("train", ranges or Ranges(), settings.seed).draw(settings.pairs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = InverseNetwork()
    order = torch.Generator().manual_seed(settings.seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.rate, total_steps=settings.steps, pct_start=0.1
    )
    for step in range(settings.steps):
        which = torch.randint(settings.pairs, (settings.batch,), generator=order)
        symmetry = int(torch.randint(8, (), generator=order))
        pairs = pool.chosen(which).turned(symmetry)
        loss = nnf.mse_loss(network(pairs.tiles), pairs.theta.flatten(1))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if (step + 1) % max(settings.steps // 10, 1) == 0:
            print(f"step {step + 1}: {loss.item():.5f}", flush=True)
    return network


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, write the file, and say what it is worth on digits and partitions not seen so far."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    default = Settings()
    parser.add_argument("--output", required=True, help="the .npz file to write")
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--pairs", type=int, default=default.pairs)
    parser.add_argument("--seed", type=int, default=default.seed)
    given = parser.parse_args(arguments)
    settings = Settings(steps=given.steps, pairs=given.pairs, seed=given.seed)
    ranges = Ranges()
    network = train(settings, ranges)
    masks = Masks("test", ranges, settings.seed + 1)
    save_weights(
        network,
        given.output,
        {"settings": asdict(settings), "ranges": asdict(ranges), "digits": masks.source},
    )
    held_out = masks.draw(2048)
    found, idle = error(load_network(given.output), held_out), error_of_identity(held_out)
    print(f"held out: mean squared error {found:.5f}, of the identity {idle:.5f}")


def _seen(sources: Tensor, padding: str, maps: Tensor, resolution: int) -> Tensor:
    grid = nnf.affine_grid(maps, [len(maps), 1, resolution, resolution], align_corners=False)
    return nnf.grid_sample(sources, grid, padding_mode=padding, align_corners=False)


def _matrices(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.stack([torch.stack([a, b], -1), torch.stack([c, d], -1)], -2)


if __name__ == "__main__":
    main()
