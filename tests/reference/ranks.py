"""Two real processes of torch.distributed for a test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

START = """
import os
import sys
import torch
import torch.distributed as dist
rank, store = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
"""
JOIN = 'dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)\n'
LEAVE = "dist.destroy_process_group()\n"


def run_two_ranks(alone: str, together: str, folder: Path) -> None:
    """Run a program twice at once: first each for itself, then as ranks 0 and 1 of a group."""
    program = START + alone + JOIN + together + LEAVE
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(rank), str(folder / "store")],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)
