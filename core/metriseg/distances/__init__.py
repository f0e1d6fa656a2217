"""Euclidean distances to the nearest pixel of a set, batched over images and classes.

On the CPU the `edt <https://pypi.org/project/edt/>`_ package does the work where it is installed
(``pip install 'metriseg[fast]'``) and SciPy where it isn't; on other devices PyTorch itself, as a
lower envelope of parabolas along one axis after the other (Felzenszwalb & Huttenlocher 2012,
doi:10.4086/toc.2012.v008a019). All give the same numbers.
"""

from metriseg.distances.boundaries import *
from metriseg.distances.transforms import *
