"""Which of our heads belong to Detectron2's projects, and what those import."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

__all__: list[str] = []


class Project(NamedTuple):
    """A project of Detectron2 for which a module of ours has heads.

    Attributes:
        heads: names in our module, which is called like the project.
        needs: what the project imports beside Detectron2's own needs; empty for nothing.
        install: how to get that.
    """

    heads: tuple[str, ...]
    needs: str = ""
    install: str = ""


PROJECTS = {
    "deeplab": Project(("MetrisegDeepLabV3Head", "MetrisegDeepLabV3PlusHead")),
    "point_rend": Project(
        (
            "MetrisegImplicitPointRendMaskHead",
            "MetrisegPointRendMaskHead",
            "MetrisegPointRendROIHeads",
            "MetrisegPointRendSemSegHead",
        ),
        "cv2",
        "pip install opencv-python-headless",
    ),
    "panoptic_deeplab": Project(
        ("MetrisegPanopticDeepLabSemSegHead",),
        "panopticapi",
        "pip install 'git+https://github.com/cocodataset/panopticapi.git'",
    ),
}


def register_projects(package: str) -> list[str]:
    """Import our modules for the projects that can be imported; their names."""
    return [name for name in PROJECTS if _imported(f"{package}.{name}", PROJECTS[name].needs)]


def _imported(module: str, needs: str) -> bool:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != needs:
            raise
        return False
    return True


def refuse_without_project(head: str) -> None:
    """Say what a head of ours lacks.

    Raises:
        ImportError: for a head of a project, which couldn't be imported.
    """
    for name, project in PROJECTS.items():
        if head in project.heads:
            raise ImportError(
                f"{head} is for Detectron2's project {name}, which needs {project.needs}:"
                f" {project.install}"
            )
