"""``make fuzz``: the relations of all losses, and hostile input, on many random cases.

    python tests/fuzz.py --cases 20000              all relations of all losses, in turn
    python tests/fuzz.py --loss DiceLoss            one loss (or --relation for one relation)
    python tests/fuzz.py --again RELATION/LOSS/SEED one case again, with its traceback

Prints how many cases held, say nothing about their loss, were refused with a clear error, or are
FOUND, by relation and by loss. The exit status is 1 where anything is found.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import torch

from metriseg.catalogue import CATALOGUE
from reference.cases import NotApplicableError
from reference.hostile import hostile_argument, hostile_call
from reference.relations import RELATIONS

HELD, SILENT, REFUSED, FOUND = OUTCOMES = ("held", "not applicable", "refused", "FOUND")
#: Hostile input has more ways to be hostile than a relation has to be kept.
JUDGED = {r.__name__: r for r in RELATIONS} | {
    f"{r.__name__}{turn}": r for turn in ("", "_again") for r in (hostile_argument, hostile_call)
}
#: Seconds after which a case counts as one that never ends.
PATIENCE = 120
#: Of every kind of finding, so many are printed.
EXAMPLES = 3

Job = tuple[str, str, str]


def judge(job: Job) -> tuple[Job, str, str]:
    """A case's outcome, and what was found."""
    relation, loss, _ = job
    signal.alarm(PATIENCE)
    try:
        refused = JUDGED[relation](CATALOGUE[loss], Random("/".join(job)))
    except NotApplicableError:
        return job, SILENT, ""
    except Exception as error:
        return job, FOUND, f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return job, REFUSED if refused else HELD, ""


def begin() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _never_ends)


def _never_ends(*_: Any) -> None:
    raise TimeoutError(f"no answer within {PATIENCE} s")


def jobs(cases: int, seed: int, relations: list[str], losses: list[str]) -> Iterator[Job]:
    """Every relation of every loss in turn, so that any number of cases is spread evenly."""
    for number in range(cases):
        turn, relation = divmod(number, len(relations))
        yield relations[relation], losses[turn % len(losses)], f"{seed}-{number}"


def kind(job: Job, text: str) -> str:
    """Findings of one relation and one loss belong together, of hostile input those alike."""
    relation, loss, _ = job
    if "hostile" not in relation:
        return f"{relation} of {loss}"
    return f"hostile: {re.sub(r'0x[0-9a-f]+', '0x…', text.partition(';')[0])}"


def table(title: str, counts: dict[str, collections.Counter[str]]) -> str:
    width = max(map(len, (*counts, title)))
    rows = [f"{title:{width}}" + "".join(f"{outcome:>16}" for outcome in OUTCOMES)]
    rows += [
        f"{name:{width}}" + "".join(f"{found[outcome]:>16}" for outcome in OUTCOMES)
        for name, found in counts.items()
    ]
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000, help="of all relations together")
    parser.add_argument("--seed", type=int, default=None, help="another seed, other cases")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--relation", choices=JUDGED, action="append", default=[])
    parser.add_argument("--loss", choices=CATALOGUE, action="append", default=[])
    parser.add_argument("--again", metavar="RELATION/LOSS/SEED", help="one case, with traceback")
    given = parser.parse_args()
    if given.again:
        relation, loss, _ = given.again.split("/")
        JUDGED[relation](CATALOGUE[loss], Random(given.again))
        print("held")
        return 0
    relations, losses = given.relation or list(JUDGED), given.loss or list(CATALOGUE)
    seed = Random().randrange(10**6) if given.seed is None else given.seed
    print(f"{given.cases} cases from seed {seed} in {given.processes} processes", flush=True)

    started = told = time.monotonic()
    by_relation = {name: collections.Counter[str]() for name in relations}
    by_loss = {name: collections.Counter[str]() for name in losses}
    findings: dict[str, list[str]] = collections.defaultdict(list)
    work = jobs(given.cases, seed, relations, losses)
    context = multiprocessing.get_context("spawn")
    with context.Pool(given.processes, begin) as pool:
        for done, (job, outcome, text) in enumerate(pool.imap_unordered(judge, work, 20), 1):
            relation, loss, _ = job
            by_relation[relation][outcome] += 1
            by_loss[loss][outcome] += 1
            if outcome == FOUND:
                findings[kind(job, text)].append(f"--again {'/'.join(job)}\n    {text}")
            if time.monotonic() - told > 60:
                told = time.monotonic()
                number = sum(map(len, findings.values()))
                print(f"{done} cases, {number} found, {told - started:.0f} s", flush=True)

    print(table("relation", by_relation), table("loss", by_loss), sep="\n\n")
    for title, texts in sorted(findings.items()):
        print(f"\n{len(texts)} FOUND, {title}; the first {EXAMPLES}:")
        print("\n".join(texts[:EXAMPLES]))
    total = sum(by_relation.values(), collections.Counter())
    print("\n" + ", ".join(f"{total[outcome]} {outcome}" for outcome in OUTCOMES), end="")
    print(f" in {time.monotonic() - started:.0f} s, seed {seed}")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
