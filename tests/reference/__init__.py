"""The independent oracle: naive float64 NumPy, written from the formulas."""
