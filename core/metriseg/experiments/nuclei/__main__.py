"""``python -m metriseg.experiments.nuclei``."""

from metriseg.experiments.nuclei import main

if __name__ == "__main__":
    main()
