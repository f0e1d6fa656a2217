"""What nobody should give to a loss, and what must come of it.

Either a finite value, or an error that this library raises itself and that names the argument:
no error from the depths, and nothing that is no answer taken for one. For ``make fuzz``.
"""

from __future__ import annotations

import inspect
import linecache
import math
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

import metriseg
from metriseg.catalogue import Entry
from metriseg.composition import argument_types
from reference.cases import Case, NotApplicableError, Wanted, chance, draw

HOME = str(Path(metriseg.__file__).parent)

#: For any constructor argument.
FOREIGN: tuple[Callable[[], Any], ...] = (
    lambda: True,
    lambda: False,
    lambda: "False",
    lambda: "0.5",
    lambda: "",
    lambda: "nonsense",
    lambda: b"mean",
    lambda: 0,
    lambda: -1,
    lambda: -0.5,
    lambda: 1.5,
    lambda: 3,
    lambda: math.inf,
    lambda: -math.inf,
    lambda: math.nan,
    lambda: 1 + 2j,
    lambda: None,
    list,
    lambda: [1.0],
    lambda: [1.0, math.nan],
    lambda: [1.0, -1.0, math.inf],
    lambda: ["mean"],
    lambda: [[0.0, 1.0], [1.0, 0.0]],
    lambda: [[0.0, math.nan], [math.nan, 0.0]],
    lambda: (),
    lambda: (1, 2, 3),
    dict,
    lambda: {"mean": 1.0},
    lambda: {"type": "nonsense"},
    lambda: set(),
    lambda: np.array(1),
    lambda: np.array([0.5, 0.5]),
    lambda: np.array(["mean"]),
    lambda: np.array([1 + 2j]),
    lambda: torch.tensor(0.5),
    lambda: torch.tensor([0.5, 1.0, math.nan]),
    lambda: torch.tensor([0.5 + 1j, 1.0]),
    lambda: torch.ones(3, device="meta"),
    lambda: torch.ones(2, 3, requires_grad=True),
    object,
    lambda: object,
    lambda: len,
)
Calls = dict[str, Any]


def hostile_argument(entry: Entry, rng: Random) -> bool:
    """One constructor argument is what it shouldn't be; True where it was refused."""
    name = rng.choice(list(inspect.signature(entry.loss).parameters))
    value = rng.choice(FOREIGN)()
    if name == "network" and isinstance(value, (str, bytes)):
        raise NotApplicableError("any text may be the path of a file")
    case = draw(entry, rng)
    arguments = {k: v for k, v in case.arguments.items() if k != name}

    def answer() -> Tensor:
        if entry.name == "CompoundLoss":
            terms = [metriseg.DiceLoss(activation=arguments["activation"])]
            given = {"terms": terms, "weights": None, name: value}
            loss = entry.loss(**given)
            return loss(case.logits, case.target.clamp(max=case.logits.shape[1] - 1))
        return entry.build(**{**arguments, name: value})(
            case.logits, case.target, weight=case.weight
        )

    what = f"{name}={value!r} ({type(value).__name__}) of {case}"
    return judged(answer, {name}, what, must_refuse=_is_no(entry, name, value))


def _is_no(entry: Entry, name: str, value: Any) -> bool:
    """Whether a value is surely none that the argument may have."""
    wanted = argument_types(entry.loss).get(name)
    if wanted is bool:  # 0 and 1 are equal to False and True
        return not (isinstance(value, (bool, np.bool_, int)) and value in (0, 1))
    if wanted in (float, int) and isinstance(value, float):
        return not math.isfinite(value)
    return wanted in (float, int) and (value is None or isinstance(value, (list, dict, set)))


def hostile_call(entry: Entry, rng: Random) -> bool:
    """One argument of the call is what it shouldn't be; True where it was refused."""
    case = draw(entry, rng, Wanted(soft=False))
    call: Calls = {"logits": case.logits, "target": case.target, "weight": case.weight}
    break_it, names, must_refuse = rng.choice(BROKEN)
    break_it(call, case, chance(rng))
    what = f"{break_it.__name__} of {case}"
    logits, target = call.pop("logits"), call.pop("target")
    return judged(lambda: case.loss()(logits, target, **call), names, what, must_refuse=must_refuse)


class FaultError(Exception):
    """An answer that is none, or an error that doesn't say which argument is wrong.

    What it says up to the first semicolon is the kind of the fault.
    """


def judged(answer: Callable[[], Tensor], names: set[str], what: str, *, must_refuse: bool) -> bool:
    """True for a clear refusal, False for a value.

    Raises:
        FaultError: for anything else.
    """
    word = " or ".join(sorted(names))
    try:
        value = answer()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {last.filename.removeprefix(HOME)}:{last.lineno}"
        where = f"{place}: {error}; {what}"
        ours = last.filename.startswith(HOME) and "raise" in _line(last)
        if not (ours and isinstance(error, (ValueError, TypeError))):
            raise FaultError(f"{word}: from the depths: {where}") from error
        if not any(name in str(error) for name in names):
            raise FaultError(f"{word}: isn't named: {where}") from error
        return True
    if must_refuse:
        raise FaultError(f"{word}: taken for an answer; value {value}: {what}")
    if value.device.type != "meta" and not bool(torch.isfinite(value).all()):
        raise FaultError(f"{word}: not finite; value {value}: {what}")
    return False


def _line(frame: traceback.FrameSummary) -> str:
    return linecache.getline(frame.filename, frame.lineno or 0)


# ---------------------------------------------------------------------- broken calls


def logits_are_integers(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["logits"] = case.logits.long()


def logits_are_complex(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["logits"] = case.logits.to(torch.complex128)


def logits_are_an_array(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["logits"] = case.logits.numpy()


def logits_without_space(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["logits"] = case.logits.flatten(2)[..., 0]


def logits_without_classes(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["logits"] = case.logits[:, :0]


def logits_in_half(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["logits"] = case.logits.bfloat16()


def target_is_an_array(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["target"] = case.target.numpy()


def target_is_none(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["target"] = None


def target_of_another_shape(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["target"] = torch.cat([case.target, case.target], -1)


def target_with_an_axis(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["target"] = case.target[:, None, None]


def target_is_complex(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["target"] = torch.zeros_like(case.logits, dtype=torch.complex64)


def target_beyond_the_classes(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["target"], call["weight"] = case.target.clone(), None
    call["target"].view(-1)[0] = 100


def target_below_zero(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["target"], call["weight"] = case.target.clone(), None
    call["target"].view(-1)[0] = -1


def target_on_meta(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["target"] = case.target.to("meta")


def target_of_nan(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["target"] = torch.full_like(case.logits, math.nan)
    call["weight"] = None


def weight_is_nan(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["weight"] = torch.full_like(case.logits[:, 0], math.nan)


def weight_is_infinite(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["weight"] = torch.ones_like(case.logits[:, 0])
    call["weight"].view(-1)[-1] = math.inf


def weight_is_negative(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["weight"] = -torch.ones_like(case.logits[:, 0])


def weight_is_complex(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["weight"] = torch.ones_like(case.logits[:, 0], dtype=torch.complex64)


def weight_is_a_number(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["weight"] = 3


def weight_of_another_shape(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["weight"] = torch.ones_like(torch.cat([case.logits, case.logits], -1)[:, 0])


def weight_on_meta(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["weight"] = torch.ones_like(case.logits[:, 0], device="meta")


def weight_with_gradient(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["weight"] = torch.ones_like(case.logits[:, 0]).requires_grad_()


def weight_of_whole_numbers(call: Calls, case: Case, generator: torch.Generator) -> None:
    dtypes = [torch.bool, torch.uint8, torch.int8, torch.int64, torch.uint16, torch.uint32]
    dtypes += [torch.uint64, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
    index = int(torch.randint(len(dtypes), (), generator=generator))
    call["weight"] = torch.ones_like(case.logits[:, 0]).to(dtypes[index])


def weight_is_huge(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["weight"] = torch.full_like(case.logits[:, 0], 1e30)


def weight_is_tiny(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["weight"] = torch.full_like(case.logits[:, 0], 1e-30)


def features_are_a_list(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["features"] = [1]


def features_of_another_shape(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["features"] = torch.cat([case.logits, case.logits], -1)


def features_are_integers(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["features"] = case.logits.long()


def features_on_meta(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["features"] = case.logits.to("meta")


def maps_are_a_list(call: Calls, case: Case, generator: torch.Generator) -> None:
    call["maps"] = [1]


def maps_hold_no_tensor(call: Calls, case: Case, generator: torch.Generator) -> None:
    names = case.entry.maps or ("anything",)
    call["maps"] = {name: [1.0] for name in names}


def maps_of_another_shape(call: Calls, case: Case, generator: torch.Generator) -> None:
    names = case.entry.maps or ("anything",)
    call["maps"] = dict.fromkeys(names, torch.ones_like(case.logits.flatten(1)))


def all_on_meta(call: Calls, case: Case, generator: torch.Generator) -> None:
    for name in ("logits", "target"):
        call[name] = call[name].to("meta")
    call["weight"] = None


#: What is broken, the words of which the message must have one, and whether there is no answer.
BROKEN: tuple[tuple[Callable[[Calls, Case, torch.Generator], None], set[str], bool], ...] = (
    (logits_are_integers, {"logits"}, True),
    (logits_are_complex, {"logits"}, True),
    (logits_are_an_array, {"logits"}, True),
    (logits_without_space, {"logits"}, True),
    (logits_without_classes, {"logits"}, True),
    (logits_in_half, {"logits"}, False),
    (target_is_an_array, {"target"}, True),
    (target_is_none, {"target"}, True),
    (target_of_another_shape, {"target"}, True),
    (target_with_an_axis, {"target"}, True),
    (target_is_complex, {"target", "ignore_index"}, True),
    (target_beyond_the_classes, {"target"}, True),
    (target_below_zero, {"target"}, True),
    (target_on_meta, {"target"}, True),
    (target_of_nan, {"target", "ignore_index"}, True),
    (weight_is_nan, {"weight"}, True),
    (weight_is_infinite, {"weight"}, True),
    (weight_is_negative, {"weight"}, True),
    (weight_is_complex, {"weight"}, True),
    (weight_is_a_number, {"weight"}, True),
    (weight_of_another_shape, {"weight"}, True),
    (weight_on_meta, {"weight"}, True),
    (weight_with_gradient, {"weight"}, True),
    (weight_of_whole_numbers, {"weight"}, False),
    (weight_is_huge, {"weight"}, False),
    (weight_is_tiny, {"weight"}, False),
    (features_are_a_list, {"features"}, True),
    (features_of_another_shape, {"features"}, False),
    (features_are_integers, {"features"}, False),
    (features_on_meta, {"features"}, True),
    (maps_are_a_list, {"maps"}, True),
    (maps_hold_no_tensor, {"maps"}, True),
    (maps_of_another_shape, {"maps"}, False),
    (all_on_meta, {"logits", "meta"}, False),
)
