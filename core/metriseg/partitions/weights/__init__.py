r"""Weights of the partition distance, by families, and which of them leave it a metric.

The weighted distance of two partitions :math:`X = \\{x_k\\}` and :math:`Y = \\{y_l\\}` is

.. math:: \rho(X, Y) = \\sum_{kl} \varphi(x_k, y_l)\\,\\mu(x_k \triangle y_l)\\,\\mu(x_k \\cap y_l)
    = \\sum_u \\mu(u)\\,\\delta\bigl(x(u), y(u)\bigr),
    \\qquad \\delta(A, B) = \varphi(A, B)\\,\\mu(A \triangle B)

with x(u) the region of X that holds pixel u. The second form settles most questions: where
:math:`\\delta` is a metric of *sets*, :math:`\rho` is one of partitions, pixel by pixel. With an
arbitrary :math:`\varphi` it is none.
"""

from metriseg.partitions.weights.algebra import *
from metriseg.partitions.weights.arbitrary import *
from metriseg.partitions.weights.distance import *
from metriseg.partitions.weights.families import *
