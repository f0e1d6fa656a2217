"""The network that tells which affine map takes one edge map to another."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

#: Beside this module; written by ``python -m metriseg.experiments.inverse_form``.
SHIPPED_WEIGHTS = "inverse_form.npz"
_SETTINGS = "settings"


class InverseNetwork(nn.Module):
    r"""A small convolutional regressor of the affine map between two edge maps.

    For a pair (a, b) it estimates the :math:`\theta` with which b at x is a at
    :math:`\theta\,(x, 1)`, x in the coordinates of ``torch.nn.functional.affine_grid`` with
    ``align_corners=False``: b is ``grid_sample(a, affine_grid(theta, a.shape))``. With g for the
    layers,

    .. math:: \theta = I + \tfrac12\, (g(a, b) - g(b, a))

    so that equal maps give the identity, whatever the weights.

    Shape:
        - pairs: ``(B, 2, 32, 32)``, values >= 0, about 1 where an edge is.
        - output: ``(B, 6)``, the rows of :math:`\theta` one after the other.
    """

    #: Cells along each side of an edge map.
    tile_side = 32

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1)
            for before, after in ((2, 16), (16, 32), (32, 32))
        )
        # convolutions too: a backward pass under autocast takes linear layers to half precision
        self.hidden = nn.Conv2d(32, 64, 4)
        self.coefficients = nn.Conv2d(64, 6, 1)

    def forward(self, pairs: Tensor) -> Tensor:
        there, back = self._layers(torch.cat([pairs, pairs.flip(1)])).chunk(2)
        identity = torch.eye(2, 3, dtype=pairs.dtype, device=pairs.device).flatten()
        return identity + (there - back) / 2

    def _layers(self, pairs: Tensor) -> Tensor:
        # in a large image edges pile up in a cell: what lies far above 1 is brought near
        values = pairs / (1 + pairs)
        for convolution in self.convolutions:
            values = nnf.gelu(convolution(values))
        coefficients: Tensor = self.coefficients(nnf.gelu(self.hidden(values)))
        return coefficients.flatten(1)


def save_weights(network: InverseNetwork, file: str | Path, settings: Mapping[str, object]) -> None:
    """Write the weights in half precision, and beside them how they came about.

    Args:
        network: whose weights.
        file: an ``.npz`` to write.
        settings: what JSON can hold.
    """
    arrays: dict[str, Any] = {
        name: tensor.detach().cpu().numpy().astype(np.float16)
        for name, tensor in network.state_dict().items()
    }
    arrays[_SETTINGS] = np.array(json.dumps(dict(settings)))
    with Path(file).open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_network(file: str | Path | None = None) -> InverseNetwork:
    """The network with the weights of a file that :func:`save_weights` wrote; None: the shipped.

    Raises:
        ValueError: for a file with other arrays in it.
    """
    packaged = resources.files(__package__) / SHIPPED_WEIGHTS
    with (
        (packaged if file is None else Path(file)).open("rb") as stream,
        np.load(stream, allow_pickle=False) as arrays,
    ):
        weights = {
            name: torch.from_numpy(arrays[name].astype(np.float32))
            for name in arrays.files
            if name != _SETTINGS
        }
    # built without numbers: it must not draw from the user's random generator
    with torch.device("meta"):
        network = InverseNetwork()
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ValueError(f"{file} doesn't hold the weights of an InverseNetwork: {error}") from None
    return network


def frozen(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode that learns nothing and is saved in no state dict.

    Its parameters become buffers that are not persistent: they move with the module that the copy
    is part of, and that is all.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        for name, tensor in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            delattr(module, name)
            module.register_buffer(name, tensor.detach(), persistent=False)
        for name, buffer in list(module.named_buffers(recurse=False, remove_duplicate=False)):
            module.register_buffer(name, buffer.detach(), persistent=False)
    return network


_LOADED: dict[tuple[str | None, torch.device], nn.Module] = {}


def loaded_network(file: str | None, device: torch.device) -> nn.Module:
    """:func:`load_network`, frozen, on a device; a file is read once in the life of the process."""
    _ensure_loaded(file, device)
    return _LOADED[file, device]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _ensure_loaded(file: str | None, device: torch.device) -> bool:
    """Not traced by torch.compile but run, so that the network is there when it looks."""
    if (file, device) not in _LOADED:
        # a tensor made in inference mode could never take part in a training
        with torch.inference_mode(False), torch.no_grad():
            _LOADED[file, device] = frozen(load_network(file)).to(device)
    return True


_CONVERTED: WeakKeyDictionary[nn.Module, dict[tuple[torch.dtype, torch.device], nn.Module]]
_CONVERTED = WeakKeyDictionary()


def _converted(network: nn.Module, like: Tensor) -> nn.Module:
    """The network, or a copy of it that is kept, in a tensor's precision and on its device.

    (A call with other tensors in place of the network's own would be seen by other threads.)
    """
    if all(
        buffer.device == like.device and buffer.dtype == like.dtype
        for buffer in network.buffers()
        if buffer.is_floating_point()
    ):
        return network
    _ensure_converted(network, like.dtype, like.device)
    return _CONVERTED[network][like.dtype, like.device]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _ensure_converted(network: nn.Module, dtype: torch.dtype, device: torch.device) -> bool:
    """Not traced by torch.compile but run, so that the copy is there when it looks."""
    copies = _CONVERTED.setdefault(network, {})
    if (dtype, device) not in copies:
        with torch.inference_mode(False), torch.no_grad():
            copies[dtype, device] = copy.deepcopy(network).to(device, dtype)
    return True


def affine_maps(network: nn.Module, pairs: Tensor) -> Tensor:
    """``(B, 2, 3)``, in the precision of the pairs ``(B, 2, h, h)``, whatever that of the network.

    Raises:
        ValueError: for a network whose output has another shape.
    """
    theta: Tensor = _converted(network, pairs)(pairs)
    if theta.shape != (len(pairs), 6):
        raise ValueError(
            f"network must take edge maps {tuple(pairs.shape)} to affine maps"
            f" {(len(pairs), 6)}, it gave {tuple(theta.shape)}"
        )
    return theta.to(pairs.dtype).reshape(-1, 2, 3)


def tile_side(network: nn.Module) -> int:
    """The side of the edge maps that a network takes, as it says itself."""
    side = getattr(network, "tile_side", None)
    if not isinstance(side, int) or side < 1:
        raise ValueError(
            "network must name the side of the edge maps that it takes in an attribute"
            f" 'tile_side', a whole number >= 1, got {side!r} from {type(network).__name__}"
        )
    return side
