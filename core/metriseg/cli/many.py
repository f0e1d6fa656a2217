"""Many pairs of label maps: each by itself, in several processes, and what they come to."""

from __future__ import annotations

import csv
import io
import math
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from metriseg.cli.comparison import Misused, Row
from metriseg.cli.files import Asked, Pair, compare_files
from metriseg.partitions.index_files import written_anew

#: Pairs that a process gets at once, at most.
_TOGETHER = 64

#: What a pair fails by, while others go on.
FAILURES = (ValueError, OSError, ImportError, RuntimeError, MemoryError)


@dataclass(frozen=True)
class Outcome:
    """Of one pair.

    Attributes:
        pair: the two maps.
        regions: of A and of B.
        pixels: compared.
        rows: a line a measure; none where the pair failed.
        notes: what the user should know of how the files were taken.
        error: why it failed, "" where it didn't.
    """

    pair: Pair
    regions: tuple[int, int] = (0, 0)
    pixels: int = 0
    rows: Sequence[Row] = ()
    notes: Sequence[str] = ()
    error: str = ""


@dataclass(frozen=True)
class Summary:
    """Of a measure, over the pairs that have a value.

    Attributes:
        metric: its name; with ``normalized_`` before it for the form within 0 … 1.
        family: what weighs it, "" where nothing does.
        pairs: how many have a value.
        mean: of these.
        deviation: the standard deviation, the square root of the mean squared difference from the
            mean.
        worst: the value farthest from that of equal partitions.
        worst_pair: whose it is, "" of no pair.
        unit: of all these.
    """

    metric: str
    family: str
    pairs: int
    mean: float
    deviation: float
    worst: float
    worst_pair: str
    unit: str


def one_line(error: BaseException) -> str:
    """What an error says, as a line."""
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"out of memory: {said}"
    return said or type(error).__name__


def outcome_of(pair: Pair, asked: Asked) -> Outcome:
    """What comes of a pair; a failure is an outcome, too.

    Raises:
        Misused: for a combination of options that there isn't.
    """
    try:
        compared = compare_files(pair, asked)
        table = compared.comparison.table
        return Outcome(pair, table.shape, int(table.total), compared.rows, compared.notes)
    except Misused:
        raise
    except FAILURES as error:
        return Outcome(pair, error=one_line(error))


def outcomes(pairs: Sequence[Pair], asked: Asked, jobs: int = 1) -> Iterator[Outcome]:
    """Of all pairs in turn, computed by so many processes."""
    compute = partial(outcome_of, asked=asked)
    jobs = min(jobs, len(pairs))
    if jobs <= 1:
        yield from map(compute, pairs)
        return
    together = max(1, min(_TOGETHER, len(pairs) // (8 * jobs)))
    # processes that begin anew: those that are forked may hold locks of threads that they lack
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            yield from pool.map(compute, pairs, chunksize=together)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def summaries(found: Sequence[Outcome]) -> list[Summary]:
    """A line a measure, and a line for the normalized form of those that have one."""
    columns: dict[tuple[str, str, bool], list[tuple[str, Row]]] = {}
    for one in found:
        for row in one.rows:
            for normalized in (False, True)[: 1 if row.normalized is None else 2]:
                key = (row.metric, row.family, normalized)
                columns.setdefault(key, []).append((one.pair.name, row))
    return [_summary(*key, column) for key, column in columns.items()]


def _summary(
    metric: str, family: str, normalized: bool, column: Sequence[tuple[str, Row]]
) -> Summary:
    best, unit = column[0][1].best, column[0][1].unit
    values = [
        (float(value), name)
        for name, row in column
        if (value := row.normalized if normalized else row.value) is not None
        and not math.isnan(value)
    ]
    numbers = [value for value, _ in values]
    mean = math.fsum(numbers) / len(numbers) if numbers else math.nan
    deviation = math.nan
    if numbers:
        deviation = math.sqrt(math.fsum((one - mean) ** 2 for one in numbers) / len(numbers))
    worst, name = max(values, key=lambda one: abs(one[0] - best), default=(math.nan, ""))
    return Summary(
        metric=f"normalized_{metric}" if normalized else metric,
        family=family,
        pairs=len(numbers),
        mean=mean,
        deviation=deviation,
        worst=worst,
        worst_pair=name,
        unit="" if normalized else unit,
    )


def write_csv(path: str, found: Sequence[Outcome]) -> None:
    """A line a pair: what it is of, every value, and why it failed; complete or not written."""
    text = io.StringIO(newline="")
    scores = dict.fromkeys(name for one in found for name in _scores(one))
    head = ["name", "a", "b", "pixels", "regions_a", "regions_b", *scores, "error"]
    writer = csv.DictWriter(text, head, lineterminator="\n")
    writer.writeheader()
    for one in found:
        line: dict[str, str | float] = {
            "name": one.pair.name,
            "a": one.pair.a,
            "b": one.pair.b,
            "error": one.error,
        }
        if not one.error:
            m, n = one.regions
            line |= {"pixels": one.pixels, "regions_a": m, "regions_b": n, **_scores(one)}
        writer.writerow(line)
    with written_anew(path) as file:
        file.write(text.getvalue().encode())


def _scores(one: Outcome) -> dict[str, float]:
    found = {}
    for row in one.rows:
        name = f"{row.metric}:{row.family}" if row.family else row.metric
        found[name] = row.value
        if row.normalized is not None:
            found[f"normalized_{name}"] = row.normalized
    return found
