"""``python -m metriseg.experiments.power_jaccard``."""

from metriseg.experiments.power_jaccard import main

if __name__ == "__main__":
    main()
