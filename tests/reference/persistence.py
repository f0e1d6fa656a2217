"""Persistence-based clustering, written from its description: every pair of cells is looked at."""

from __future__ import annotations

import numpy as np


def hills(points: np.ndarray, valley: float) -> np.ndarray:
    """The hill of each of some points ``(N, D)``.

    Cells are the unit cubes of a grid from the least coordinates on; their places are the means of
    their points, and the density there is the sum over cells within 3 of their numbers of points
    times exp(-d² / 2). Cells are visited from the densest on. One without a visited cell within 2
    begins a hill. Another joins the hill of the densest visited cell within 2, and of all hills
    within 2 those whose summit isn't more than the cell's density / ``valley`` join the one with
    the highest summit.
    """
    corners = [tuple(row) for row in np.floor(points - points.min(0)).astype(int)]
    names = sorted(set(corners))
    member = np.array([names.index(one) for one in corners])
    mass = np.array([(member == k).sum() for k in range(len(names))], float)
    place = np.array([points[member == k].mean(0) for k in range(len(names))])
    apart = np.linalg.norm(place[:, None] - place[None], axis=2)
    density = np.where(apart <= 3, np.exp(-(apart**2) / 2), 0) @ mass
    hill = np.full(len(names), -1)
    summit: dict[int, float] = {}
    for cell in np.argsort(-density, kind="stable"):
        near = [k for k in range(len(names)) if hill[k] >= 0 and apart[cell, k] <= 2]
        if not near:
            hill[cell] = cell
            summit[cell] = density[cell]
            continue
        hill[cell] = hill[max(near, key=lambda k: density[k])]
        around = {hill[k] for k in near}
        highest = max(around, key=lambda one: summit[one])
        for one in around - {highest}:
            if density[cell] >= valley * summit[one]:
                hill[hill == one] = highest
    return hill[member]
