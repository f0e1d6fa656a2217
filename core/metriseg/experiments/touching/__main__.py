"""``python -m metriseg.experiments.touching``."""

from metriseg.experiments.touching import main

if __name__ == "__main__":
    main()
