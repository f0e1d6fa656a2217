"""Distances of soft partitions: of assignments to segments, and of an embedding by a kernel."""

from metriseg.functional.partition.cells import *
from metriseg.functional.partition.distance import *
from metriseg.functional.partition.kernel import *
from metriseg.functional.partition.pairs import *
from metriseg.functional.partition.weighted import *
