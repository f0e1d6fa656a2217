"""Comparing partitions: contingency tables, the metrics made of them, and search by them."""

from metriseg.partitions.axioms import *
from metriseg.partitions.component_scores import *
from metriseg.partitions.conditions import *
from metriseg.partitions.contingency import *
from metriseg.partitions.disagreement import *
from metriseg.partitions.distances import *
from metriseg.partitions.images import *
from metriseg.partitions.information import *
from metriseg.partitions.masks import *
from metriseg.partitions.objects import *
from metriseg.partitions.registry import *
from metriseg.partitions.scores import *
from metriseg.partitions.search import *
from metriseg.partitions.skeletons import *
from metriseg.partitions.sketch import *
from metriseg.partitions.stack import *
from metriseg.partitions.sweeps import *
from metriseg.partitions.transport import *
from metriseg.partitions.weights import *
