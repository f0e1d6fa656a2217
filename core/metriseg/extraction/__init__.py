"""From a prediction to segments: the ways to the distance of a predicted partition."""

from metriseg.extraction.base import *
from metriseg.extraction.classes import *
from metriseg.extraction.grouping import *
from metriseg.extraction.kernel import *
from metriseg.extraction.knn import *
from metriseg.extraction.places import *
from metriseg.extraction.registry import *
from metriseg.extraction.slots import *
