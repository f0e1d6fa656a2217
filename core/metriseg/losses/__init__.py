"""Segmentation losses as modules; each module lists its own in ``__all__``."""

from metriseg.losses.active_boundary import *
from metriseg.losses.base import *
from metriseg.losses.boundary import *
from metriseg.losses.combination import *
from metriseg.losses.compound import *
from metriseg.losses.conditional_boundary import *
from metriseg.losses.deep_supervision import *
from metriseg.losses.embedding import *
from metriseg.losses.generalized_dice import *
from metriseg.losses.hausdorff import *
from metriseg.losses.inverse_form import *
from metriseg.losses.jaccard_metric import *
from metriseg.losses.lovasz import *
from metriseg.losses.mutual_information import *
from metriseg.losses.objects import *
from metriseg.losses.partial import *
from metriseg.losses.partition import *
from metriseg.losses.persistence import *
from metriseg.losses.pixel import *
from metriseg.losses.region import *
from metriseg.losses.robust import *
from metriseg.losses.skeleton import *
from metriseg.losses.wasserstein import *
