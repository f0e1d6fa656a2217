"""``python -m metriseg.experiments.dice_gradient``."""

from metriseg.experiments.dice_gradient import main

if __name__ == "__main__":
    main()
