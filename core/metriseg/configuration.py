"""Where the configs that come with the library are."""

from __future__ import annotations

from pathlib import Path


def config_path(name: str) -> Path:
    """The path of a config by its name below ``configs/``.

    Raises:
        ValueError: where there is no such config, naming those there are.

    >>> config_path("mmseg/mnist_unet_power-jaccard.py").name
    'mnist_unet_power-jaccard.py'
    """
    here = Path(__file__).resolve().parent
    installed, checkout = here / "configs", here.parents[1] / "configs"
    root = installed if installed.is_dir() else checkout
    path = root / name
    if not path.exists():
        present = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
        raise ValueError(f"name: there is no config {name!r}, only {', '.join(present)}")
    return path
