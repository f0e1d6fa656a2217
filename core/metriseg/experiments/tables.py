"""What the tables of the experiments show."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np


def mean_text(values: Sequence[float], digits: int) -> str:
    """The mean, of several with their standard deviation."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def progress(line: str) -> None:
    """What is going on, beside the table."""
    print(line, file=sys.stderr, flush=True)
