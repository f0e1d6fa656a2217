"""metriseg: segmentation losses and partition metrics, defined once."""

from typing import TYPE_CHECKING

from metriseg.exports import lazy_exports

__version__ = "0.1.0"

if TYPE_CHECKING:
    from metriseg import extraction, functional
    from metriseg.batch import *
    from metriseg.binding import *
    from metriseg.catalogue import *
    from metriseg.losses import *
    from metriseg.points import *
    from metriseg.statistics import *
    from metriseg.validation import *
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        homes=("validation", "batch", "statistics", "losses", "binding", "catalogue", "points"),
        submodules=("extraction", "functional"),
    )
