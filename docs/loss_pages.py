"""The page of a loss, from the catalogue.

Pure functions from :class:`metriseg.Entry` to Markdown: neither the site's builder nor a framework
is needed to call them.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterable
from typing import Any, Literal

from torch import Tensor

import repository
import snippets
import sphinx_markup
from metriseg.catalogue import Entry
from metriseg.composition import argument_types
from references import identifier, resolve
from repository import Place

LEVELS = {
    "pixel": "each pixel by itself",
    "region": "a class or an image as a whole",
    "boundary": "contours, and how far off they are",
    "topology": "thin structures, what is connected and what is not",
    "object": "every object by itself, large or small",
    "compound": "several losses in one",
    "embedding": "features of pixels",
    "partition": "how the whole image is divided",
}


def loss_page(entry: Entry) -> str:
    """A loss: definition, arguments, what it promises, how to choose it, where it is written."""
    text, sections = sphinx_markup.sections(entry.loss.__doc__ or "")
    summary, *paragraphs = re.split(r"\n{2,}", text.strip())
    examples = [part for part in paragraphs if part.startswith(">>>")]
    sources = [part for part in paragraphs if part.startswith("Source:")]
    definition = [part for part in paragraphs if part not in examples + sources]
    described = sphinx_markup.items(sections.pop("Args", ""))
    raised = sphinx_markup.items(sections.pop("Raises", ""))
    parts = [
        f"# {entry.name} {{#{identifier(entry.name)}}}",
        _blocks(summary),
        f"`{entry.summary}` · {paper(entry)}",
        "## Definition",
        _blocks("\n\n".join(definition)),
        *_other_sections(sections),
        "## Arguments",
        argument_table(entry, described),
        *(f"Raises `{error}` {_inline(reason)}" for error, reason in raised.items()),
        "## Example",
        example(entry, examples),
        "## What it promises",
        promises(entry),
        "## In a config",
        config_section(entry),
        "## Where it comes from",
        *(_inline(source.removeprefix("Source:").strip()) for source in sources),
        links(entry),
    ]
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


def example(entry: Entry, parts: list[str]) -> str:
    """A docstring's examples, as they run outside its module."""
    text = "\n\n".join(parts)
    imported = re.search(rf"^>>> (from|import) .*\b{entry.name}\b", text, re.MULTILINE)
    if not imported:
        text = f">>> from metriseg import {entry.name}\n{text}"
    return _blocks(text)


def argument_table(entry: Entry, described: dict[str, str]) -> str:
    """Every constructor argument with type, default and meaning."""
    hints = argument_types(entry.loss)
    rows = []
    for name, parameter in inspect.signature(entry.loss).parameters.items():
        required = parameter.default is inspect.Parameter.empty
        default = "required" if required else f"`{_default(parameter.default)}`"
        meaning = sphinx_markup.cell(_inline(described.get(name, "")))
        allowed = Literal[entry.loss.activations] if name == "activation" else hints[name]
        rows.append((f"`{name}`", f"`{type_text(allowed)}`", default, meaning))
    return table(("argument", "type", "default", "meaning"), rows)


def promises(entry: Entry) -> str:
    """What the catalogue says of the loss, in words."""
    loss = entry.build()
    learnt = [name for name, value in loss.named_parameters() if value.requires_grad]
    rows = [
        ("level", f"{entry.level}: {LEVELS[entry.level]}"),
        ("at a perfect prediction", perfect(entry)),
        (
            "on the way to the truth",
            "it falls with every step" if entry.monotone else "it may rise in between",
        ),
        ("images", dimensions(entry)),
        ("classes", f"{entry.min_classes} or more"),
        ("activations", _listed([f"`{word}`" for word in loss.activations])),
        ("soft labels", "yes" if entry.soft_targets else "no, labels must be hard"),
        ("where in the image a pixel is", "matters" if entry.spatial else "doesn't matter"),
    ]
    if entry.maps:
        maps = _listed([f'`"{name}"`' for name in entry.maps])
        rows.append(("maps that a loader may give", f"{maps}, by name in `maps`"))
    if entry.features:
        rows.append(("features", "embeddings of pixels; the logits themselves where none come"))
    if entry.graph_break:
        rows.append(("torch.compile", f"goes on around it: {entry.graph_break}"))
    if entry.stop_gradient:
        rows.append(("gradient", "some terms are held constant when it is taken"))
    if learnt:
        names = _listed([f"`{name}`" for name in learnt])
        rows.append(("learns", f"{names}: give `loss.parameters()` to the optimiser"))
    return table(("property", "value"), rows)


def config_section(entry: Entry) -> str:
    """How each framework's config names the loss, or why it can't."""
    written = {
        "metriseg_mmseg": ("python", snippets.mmsegmentation),
        "metriseg_monai": ("json", snippets.monai),
        "metriseg_detectron2": ("yaml", snippets.detectron2),
    }
    pages = {
        "metriseg_mmseg": "mmsegmentation",
        "metriseg_monai": "monai",
        "metriseg_detectron2": "detectron2",
    }
    more = [f"[{name}](../{pages[plugin]}.md)" for plugin, name in repository.PLUGINS.items()]
    parts = [f"What the words mean there, and what is logged: {', '.join(more)}."]
    for plugin, framework in repository.PLUGINS.items():
        parts.append(f"### {framework}")
        reason = repository.unsupported(plugin).get(entry.name)
        if reason is not None:
            parts.append(f"Not offered in {framework}: {_inline(reason)}.")
            continue
        language, snippet = written[plugin]
        parts.append(f"```{language}\n{snippet(entry)}\n```")
    return "\n\n".join(parts)


def links(entry: Entry) -> str:
    """Source, formula, oracle and tests."""
    formulas = repository.formulas(entry)
    oracle = repository.oracle(entry)
    rows = [("class", [_link(repository.definition(entry))])]
    if formulas:
        rows.append(("formula", [_link(place, f"`{name}`") for name, place in formulas.items()]))
    if oracle:
        rows.append(("oracle, naive float64 loops", [_link(oracle)]))
    rows.append(("tests", [_link(place) for place in repository.tests(entry)]))
    return "\n".join(f"- {what}: {', '.join(found)}" for what, found in rows)


def linked_places(entry: Entry) -> list[Place]:
    """Everything that :func:`links` leads to."""
    oracle = repository.oracle(entry)
    return [
        repository.definition(entry),
        *repository.formulas(entry).values(),
        *([oracle] if oracle else []),
        *repository.tests(entry),
    ]


def source_page(path: str) -> str:
    """A file of the repository, with an anchor at every line."""
    text = (repository.ROOT / path).read_text(encoding="utf-8").rstrip()
    fence = "````"
    return (
        f"---\ntitle: {path.rpartition('/')[2]}\nsearch:\n  exclude: true\n---\n\n"
        f'# `{path}`\n\n{fence}{{.python linenums="1"}}\n{text}\n{fence}\n'
    )


def paper(entry: Entry) -> str:
    """Authors and year, linked where the paper has an address."""
    address = sphinx_markup.paper_address(entry.source)
    if address:
        return f"[{_inline(entry.paper)}]({address})"
    return f"{_inline(entry.paper)}, *{_inline(entry.source)}*"


def perfect(entry: Entry) -> str:
    """The value at a perfect prediction."""
    return "depends on the image" if entry.perfect is None else f"{entry.perfect:g}"


def dimensions(entry: Entry) -> str:
    """How many spatial dimensions images may have, in words that no line breaks."""
    low, high = min(entry.spatial_dimensions), max(entry.spatial_dimensions)
    words = f"{low}-D" if low == high else f"{low}-D to {high}-D"
    return words.replace("-", "\N{NON-BREAKING HYPHEN}")


def type_text(hint: Any) -> str:
    """An annotation as a reader would write it.

    >>> type_text(Literal["mean", "sum"] | None)
    '"mean" | "sum" | None'
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " | ".join(f'"{part}"' if isinstance(part, str) else repr(part) for part in parts)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(type_text, parts))
    if hint is type(None):
        return "None"
    if hint is Tensor:
        return "Tensor"
    if hint is ...:
        return "..."
    if isinstance(hint, list):
        return f"[{', '.join(map(type_text, hint))}]"
    if origin is not None and parts:
        return f"{type_text(origin)}[{', '.join(map(type_text, parts))}]"
    return getattr(hint, "__name__", str(hint))


def _default(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value).replace("e-0", "e-")


def _other_sections(sections: dict[str, str]) -> list[str]:
    parts = []
    for title, content in sections.items():
        parts += [f"**{title}**", _blocks(content)]
    return parts


def _link(place: Place, text: str | None = None) -> str:
    anchor = f"#__codelineno-0-{place.line}" if place.line > 1 else ""
    return f"[{text or f'`{place.path}`'}](../source/{place.path}.md{anchor})"


def _listed(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """In Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _blocks(text: str) -> str:
    return sphinx_markup.blocks(text, resolve)


def _inline(text: str) -> str:
    return sphinx_markup.inline(text, resolve)
