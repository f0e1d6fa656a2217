"""Every loss trained with every seed, with the setting that scores best."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metriseg.experiments.records import Record
from metriseg.experiments.tables import progress
from metriseg.experiments.which_loss.bench import Bench, Candidate, Plan

#: The folder that all networks of a comparison are in.
NETWORKS = "networks"


def run(bench: Bench, plan: Plan, folder: Path) -> Record:
    """Train what isn't in the folder's record yet.

    The settings of a loss are tried with the first seed; the one of the best score on val goes on
    with the others.
    """
    record = Record(folder / "results.json", record_settings(bench, plan))
    for candidate in chosen_candidates(bench, plan.losses):
        settings = list(candidate.settings)
        tried = settings if plan.search else settings[:1]
        folders = {network_folder(folder, candidate.key, name, 0) for name in settings}
        if len(folders) < len(settings):
            raise ValueError(f"settings of {candidate.key} must differ in letters and digits")
        for name in tried:
            _measure(bench, plan, candidate, name, 0, record, folder)
        best = chosen_setting(bench.columns, record.entries, candidate.key)
        if best is None:
            continue
        for seed in range(1, plan.seeds):
            _measure(bench, plan, candidate, best, seed, record, folder)
    return record


def record_settings(bench: Bench, plan: Plan) -> dict[str, Any]:
    """What all entries of a record share; seeds and losses may be added later."""
    return {
        "experiment": bench.name,
        "title": bench.title,
        "columns": dict(bench.columns),
        "steps": plan.steps,
        **bench.settings,
    }


def chosen_candidates(bench: Bench, keys: Sequence[str] | None) -> list[Candidate]:
    """Those named, in the order of the bench; of None all."""
    return [one for one in bench.candidates if keys is None or one.key in keys]


def chosen_setting(
    columns: Iterable[str], entries: Sequence[Mapping[str, Any]], loss: str
) -> str | None:
    """That of the best score with the first seed; None where all diverged."""
    column = next(iter(columns))
    tried = {
        one["setting"]: one["values"][column]
        for one in entries
        if one["loss"] == loss and one["seed"] == 0 and one["values"] is not None
    }
    return max(tried, key=lambda name: tried[name]) if tried else None


def network_folder(folder: Path, loss: str, setting: str, seed: int) -> Path:
    """Where a network is left."""
    words = re.sub(r"[^A-Za-z0-9.]+", "-", setting).strip("-") or "default"
    return folder / NETWORKS / loss / words / f"seed{seed}"


def _measure(
    bench: Bench,
    plan: Plan,
    candidate: Candidate,
    setting: str,
    seed: int,
    record: Record,
    folder: Path,
) -> None:
    """Train and score, unless the record has it."""
    if record.find(loss=candidate.key, setting=setting, seed=seed) is not None:
        return
    place = network_folder(folder, candidate.key, setting, seed)
    place.mkdir(parents=True, exist_ok=True)
    entry = {"loss": candidate.key, "words": candidate.words, "setting": setting, "seed": seed}
    try:
        loss = candidate.settings[setting]
        bench.prepare(seed=seed, folder=folder / NETWORKS)
        start = time.perf_counter()
        bench.train(loss, seed=seed, steps=plan.steps, folder=place)
    except FloatingPointError:
        record.add({**entry, "seconds": None, "values": None, "classes": {}, "images": []})
        progress(f"{candidate.words} ({setting}), seed {seed}: diverged")
        return
    seconds = round(time.perf_counter() - start, 1)
    values, classes, images = bench.score(place, None)
    if not all(math.isfinite(one) for one in values.values()):
        raise ValueError(f"values of {candidate.key} must be finite, got {dict(values)}")
    record.add(
        {
            **entry,
            "seconds": seconds,
            "values": {name: round(float(one), 6) for name, one in values.items()},
            "classes": {name: round(float(one), 6) for name, one in classes.items()},
            "images": [round(float(one), 4) for one in images],
        }
    )
    column, digits = next(iter(bench.columns.items()))
    progress(
        f"{candidate.words} ({setting}), seed {seed}: {column} {values[column]:.{digits}f},"
        f" {seconds:.0f} s"
    )
