"""Data sets of the experiments and demonstrations."""
