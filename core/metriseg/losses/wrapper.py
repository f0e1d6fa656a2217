"""What losses around another loss share."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from metriseg.losses.base import SegmentationLoss


class LossWrapper(nn.Module):
    """A loss that changes what another gets to see, and is called as that one.

    Args:
        loss: of metriseg, or another such wrapper.

    Raises:
        ValueError: for anything else.
    """

    #: What may stand inside, and how that is called in an error.
    inner: tuple[type[nn.Module], ...] = (SegmentationLoss,)
    inner_words = "a loss of metriseg"

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        if not isinstance(loss, (*self.inner, LossWrapper)):
            raise ValueError(
                f"loss must be {self.inner_words}, got {type(loss).__module__}."
                f"{type(loss).__qualname__}"
            )
        self.loss = loss

    @property
    def wrapped(self) -> Any:
        """The loss inside, also of several wrappers."""
        return self.loss.wrapped if isinstance(self.loss, LossWrapper) else self.loss

    def called(self, logits: Any, target: Any, weight: Any, maps: Any, features: Any) -> Tensor:
        """The value of the loss inside; a framework's class calls it in its own words."""
        value: Tensor = self.loss(logits, target, weight=weight, maps=maps, features=features)
        return value
