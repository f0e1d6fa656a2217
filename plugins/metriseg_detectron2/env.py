"""For ``DETECTRON2_ENV_MODULE=metriseg_detectron2.env``: Detectron2's own scripts, with metriseg.

Detectron2 imports the module that this variable names and calls :func:`setup_environment`, so that
its untouched ``tools/train_net.py`` reads configs with our keys and builds our heads.
"""

from __future__ import annotations

from detectron2.config import defaults

from metriseg_detectron2 import segmentor  # noqa: F401  # registers the heads
from metriseg_detectron2.config import add_metriseg_config
from metriseg_detectron2.datasets import register_data_sets


def setup_environment() -> None:
    """Add our keys to every config that ``get_cfg()`` gives, our heads, and the data sets."""
    add_metriseg_config(defaults._C)
    register_data_sets()
