"""What Duque-Arias et al. 2021 (hal-03139997) print in their tables 1 and 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Figure(NamedTuple):
    """Of five trainings: the mean of the mean IoU, its standard deviation, and the best."""

    mean: float
    deviation: float
    best: float


#: Table 1, digits from background in batches of one image: by filters and loss.
BINARY: Mapping[tuple[int, str], Figure] = {
    (2, "CE"): Figure(0.8542, 0.1651, 0.9884),
    (2, "p = 1"): Figure(0.4402, 0.0298, 0.5000),
    (2, "p = 1.25"): Figure(0.5303, 0.2101, 0.9507),
    (2, "p = 1.5"): Figure(0.5538, 0.2217, 0.9735),
    (2, "p = 1.75"): Figure(0.9813, 0.0172, 0.9977),
    (2, "p = 2"): Figure(0.7679, 0.2797, 0.9975),
    (4, "CE"): Figure(0.8773, 0.1889, 0.9878),
    (4, "p = 1"): Figure(0.4551, 0.0366, 0.5000),
    (4, "p = 1.25"): Figure(0.5545, 0.2234, 0.9977),
    (4, "p = 1.5"): Figure(0.5396, 0.2290, 0.9566),
    (4, "p = 1.75"): Figure(0.6507, 0.2760, 0.9938),
    (4, "p = 2"): Figure(0.7687, 0.2804, 0.9977),
    (8, "CE"): Figure(0.8216, 0.1654, 0.9504),
    (8, "p = 1"): Figure(0.4403, 0.0304, 0.5011),
    (8, "p = 1.25"): Figure(0.4348, 0.0191, 0.4737),
    (8, "p = 1.5"): Figure(0.5395, 0.2290, 0.9977),
    (8, "p = 1.75"): Figure(0.5397, 0.2289, 0.9977),
    (8, "p = 2"): Figure(0.5397, 0.2289, 0.9977),
}

#: Table 2, ten digits: by images a batch and loss.
TEN_CLASSES: Mapping[tuple[int, str], Figure] = {
    (1, "CE"): Figure(0.0956, 0.0309, 0.1501),
    (1, "p = 1"): Figure(0.0000, 0.0000, 0.0000),
    (1, "p = 1.25"): Figure(0.0062, 0.0076, 0.0152),
    (1, "p = 1.5"): Figure(0.4831, 0.4031, 0.9137),
    (1, "p = 1.75"): Figure(0.6388, 0.3394, 0.8960),
    (1, "p = 2"): Figure(0.5160, 0.4240, 0.9450),
    (10, "CE"): Figure(0.1341, 0.0228, 0.1612),
    (10, "p = 1"): Figure(0.4537, 0.1014, 0.6562),
    (10, "p = 1.25"): Figure(0.5298, 0.0963, 0.6378),
    (10, "p = 1.5"): Figure(0.6852, 0.0464, 0.7747),
    (10, "p = 1.75"): Figure(0.8307, 0.0535, 0.8793),
    (10, "p = 2"): Figure(0.7953, 0.0499, 0.8856),
    (50, "CE"): Figure(0.1534, 0.0101, 0.1679),
    (50, "p = 1"): Figure(0.4819, 0.0779, 0.6188),
    (50, "p = 1.25"): Figure(0.5255, 0.1055, 0.7342),
    (50, "p = 1.5"): Figure(0.6364, 0.0699, 0.7432),
    (50, "p = 1.75"): Figure(0.7403, 0.1137, 0.8342),
    (50, "p = 2"): Figure(0.7590, 0.0577, 0.8064),
}
