"""The kernels of the GPU: when they are asked, what they compute, and that they compile."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from metriseg import fused
from metriseg.fused import launch

KERNELS = "metriseg.fused.kernels"


def test_kernels_in_the_interpreter() -> None:
    """Values and gradients are those of PyTorch's operators."""
    pytest.importorskip("triton", reason="Triton is not installed")
    tests = Path(__file__).parents[1] / "interpreted" / "test_kernels.py"
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-3000:]
    assert "41 passed" in found.stdout


def test_only_gpus_in_single_precision_are_asked() -> None:
    def fits(logits: Tensor, *, errors: bool = False, least: bool = False) -> bool:
        return fused.fits(
            logits, torch.zeros(1, 2, dtype=torch.long), "softmax", errors=errors, least=least
        )

    assert not fits(torch.zeros(1, 3, 2))
    assert not fits(torch.zeros(1, 3, 2, device="meta"))


def test_a_switch() -> None:
    assert launch._enabled
    try:
        fused.enable(False)
        assert not launch._enabled
    finally:
        fused.enable(True)
    with pytest.raises(ValueError, match="wanted must be True or False"):
        fused.enable("no")


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "soft"])
@pytest.mark.parametrize("softmax", [False, True], ids=["sigmoid", "softmax"])
def test_the_kernels_compile(capability: int, softmax: bool, soft: bool) -> None:
    """To the code of a GPU, without one."""
    pytest.importorskip("triton", reason="Triton is not installed")
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernels = importlib.import_module(KERNELS)
    classes = 19
    common = {
        "CLASSES": classes,
        "ROWS": launch._rows(classes),
        "BLOCK": launch._block(classes),
        "SOFTMAX": softmax,
        "SOFT": soft,
        "WEIGHTED": True,
        "OVERLAP": (1.0,),
        "PREDICTED": (1.0, 1.75),
        "LOGS": softmax and not soft,
    }
    for kernel, more in (
        (kernels.sums_kernel, {"STEPS": 8, "TARGET": (1.0,), "ERRORS": not soft}),
        (kernels.gradient_kernel, {}),
    ):
        constants = common | more
        signature = {}
        for name in kernel.arg_names:
            pointer = "*i64" if name == "t_ptr" and not soft else "*fp32"
            kind = pointer if name.endswith("_ptr") else "i32"
            signature[name] = "constexpr" if name in constants else kind
        places = {
            (kernel.arg_names.index(name),): value
            for name, value in constants.items()
            if name in kernel.arg_names
        }
        source = ASTSource(fn=kernel, signature=signature, constexprs=places)
        compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32))
        assert compiled.asm["cubin"]
        assert compiled.metadata.shared < 48 * 1024
