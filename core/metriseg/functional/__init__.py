"""The formulas: no activation, no one-hot, no reduction policy.

Pixel formulas map log-probabilities and a target to a value a pixel; region formulas map
:class:`~metriseg.statistics.RegionStatistics` to a table ``(G, C)``.
"""

from metriseg.functional.active_boundary import *
from metriseg.functional.boundary import *
from metriseg.functional.calibration import *
from metriseg.functional.conditional_boundary import *
from metriseg.functional.difference import *
from metriseg.functional.embedding import *
from metriseg.functional.hausdorff import *
from metriseg.functional.inverse_form import *
from metriseg.functional.jaccard_metric import *
from metriseg.functional.label_sets import *
from metriseg.functional.lovasz import *
from metriseg.functional.mutual_information import *
from metriseg.functional.noise import *
from metriseg.functional.objects import *
from metriseg.functional.partition import *
from metriseg.functional.persistence import *
from metriseg.functional.pixel import *
from metriseg.functional.points import *
from metriseg.functional.power import *
from metriseg.functional.region import *
from metriseg.functional.robust import *
from metriseg.functional.skeleton import *
from metriseg.functional.wasserstein import *
