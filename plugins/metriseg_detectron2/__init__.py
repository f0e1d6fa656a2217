"""metriseg for Detectron2: losses that YAML and LazyConfig choose, and the heads that take them."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

INSTALLATION = """\
Detectron2 is not installed, and it is not on PyPI. Its installation page has
    pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'
(torch and torchvision first). A wheel of it in ~/.cache/metriseg/wheels is what make picks up."""

if find_spec("detectron2") is None:

    def __getattr__(name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(INSTALLATION)

else:
    # first: with $DETECTRON2_ENV_MODULE this import comes back to the modules below
    import detectron2

    from metriseg.exports import lazy_exports

    if TYPE_CHECKING:
        from metriseg_detectron2.config import *
        from metriseg_detectron2.criterion import *
        from metriseg_detectron2.deeplab import *
        from metriseg_detectron2.evaluation import *
        from metriseg_detectron2.evaluator import *
        from metriseg_detectron2.heads import *
        from metriseg_detectron2.lazy import *
        from metriseg_detectron2.losses import *
        from metriseg_detectron2.mapper import *
        from metriseg_detectron2.panoptic_deeplab import *
        from metriseg_detectron2.partition_evaluator import *
        from metriseg_detectron2.point_rend import *
        from metriseg_detectron2.segmentor import *
        from metriseg_detectron2.solver import *
    else:
        from metriseg_detectron2.projects import refuse_without_project, register_projects

        _HOMES = [
            "losses",
            "config",
            "heads",
            "lazy",
            "mapper",
            "segmentor",
            "criterion",
            "evaluator",
            "partition_evaluator",
            "evaluation",
            "solver",
        ]
        for _home in _HOMES:
            # they register what they define
            import_module(f"{__name__}.{_home}")
        _find, __dir__ = lazy_exports(__name__, homes=[*_HOMES, *register_projects(__name__)])

        def __getattr__(name: str) -> object:
            try:
                return _find(name)
            except AttributeError:
                refuse_without_project(name)
                raise
