"""``python -m metriseg.experiments.photographs``."""

from metriseg.experiments.photographs import main

if __name__ == "__main__":
    main()
