"""Messages of constructors in the words of YAML, where keys are upper case."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

#: Words of the mappings within a loss's config, and those that hints name whatever the loss has.
COMMON_WORDS = frozenset({"type", "schedule", "loss_weight", "class_weight"})


def in_yaml(message: str, words: Collection[str]) -> str:
    """A message with the words of a constructor as the keys that stand in YAML.

    A word is known by how it is said: in quotes, before an equals sign, where a sentence begins
    with it, in a list of all that there is, or by an underscore. In running text "classes" is no
    key, and what was given, or is allowed, keeps its case.

    Args:
        message: of a constructor.
        words: that it has, in lower case.

    >>> in_yaml("smooth must be finite: say 'loss_weight', or sync=True", ["smooth", "sync"])
    "SMOOTH must be finite: say 'LOSS_WEIGHT', or SYNC: True"
    >>> in_yaml("map must be one of 'map', 'raw', got 'map'", ["map"])
    "MAP must be one of 'map', 'raw', got 'map'"
    """
    said, got, given = message.partition(", got ")
    said, one_of, allowed = said.partition(" must be one of ")
    words = {*words, *COMMON_WORDS}

    def key(match: re.Match[str]) -> str:
        start, end = (place - match.start() for place in match.span("word"))
        found: str = match[0]
        known = found[start:end] in words
        return found[:start] + found[start:end].upper() + found[end:] if known else found

    def upper(match: re.Match[str]) -> str:
        return match[0].upper()

    # has no argument 'bandwith': did you mean 'bandwidth'? (it takes bandwidth, seed)
    said = re.sub(r"has no argument '(\w+)'", lambda m: f"has no key '{m[1].upper()}'", said)
    said = re.sub(r"(?<=did you mean )'\w+'|(?<=\(it takes )(?!none)[\w, ]+(?=\)$)", upper, said)
    # missing 2 required arguments: 'start' and 'end'
    said, missing, names = said.partition("missing ")
    said += missing + re.sub(r"'\w+'", upper, names)
    # sync=True
    said = re.sub(r"\b([a-z]\w*)=(?=\S)", lambda m: f"{m[1].upper()}: ", said)
    # 'smooth', class_weight
    said = re.sub(r"'(?P<word>\w+)'", key, said)
    said = re.sub(r"\b(?P<word>[a-z]\w*_\w*)", key, said)
    # smooth must …, weights: schedule must …, num_classes and dimensions belong …
    said = re.sub(r"^(?P<word>\w+)(?=[ :]|$)", key, said)
    said = re.sub(r": (?P<word>\w+)(?= must |$)", key, said)
    said = re.sub(r"^[A-Z_]+ and (?P<word>\w+)", key, said)
    # the keys of a mapping
    given = re.sub(r"'(?P<word>\w+)'(?=: )", key, given)
    return said + one_of + allowed + got + given


def typed_words(value: Any) -> Iterator[str]:
    """All keys of a config's mapping, at any depth, in lower case."""
    if isinstance(value, Mapping):
        for word, item in value.items():
            yield str(word).lower()
            yield from typed_words(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from typed_words(item)
