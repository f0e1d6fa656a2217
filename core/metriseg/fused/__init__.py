"""The pass over the logits as two kernels of a GPU, written in Triton.

The first reads the logits once and leaves the sums, the second reads them again and writes the
gradient; nothing else of their size exists. :mod:`metriseg.statistics` asks :func:`fits`, and goes
through PyTorch's operators where the answer is no. Sums don't differ from run to run: every program
leaves its own, and no two add to the same place.
"""

from metriseg.fused.launch import backward, enable, fits, forward

__all__ = ["backward", "enable", "fits", "forward"]
