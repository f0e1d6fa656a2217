"""``python -m metriseg.experiments.shapes``."""

from metriseg.experiments.shapes import main

if __name__ == "__main__":
    main()
