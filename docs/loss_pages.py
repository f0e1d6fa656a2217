"""The page of a loss, and the tables of all losses, from the catalogue.

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
from metriseg.catalogue import CATALOGUE, Entry
from metriseg.options import argument_types
from repository import Place

LEVELS = {
    "pixel": "each pixel by itself",
    "region": "a class or an image as a whole",
    "boundary": "contours, and how far off they are",
    "compound": "several losses in one",
    "embedding": "features of pixels",
    "partition": "how the whole image is divided",
}

#: A problem, losses made for it (names that the catalogue lacks are left out), and why these.
GUIDE: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "you want what nnU-Net trains with",
        ("DiceCELoss", "CompoundLoss"),
        "the sum of Dice and cross-entropy",
    ),
    (
        "classes differ greatly in size",
        ("GeneralizedDiceLoss", "PenaltyGeneralizedDiceLoss", "ExponentialLogarithmicLoss"),
        "they weigh a class by how rare it is",
    ),
    (
        "a missed pixel costs more than a false alarm, or less",
        ("TverskyLoss", "FocalTverskyLoss", "SensitivitySpecificityLoss", "UnifiedFocalLoss"),
        "the two kinds of error have weights of their own",
    ),
    (
        "most pixels are easy",
        ("FocalLoss", "TopKLoss"),
        "easy pixels fade, or are left out",
    ),
    (
        "the result is judged by its Jaccard index (IoU)",
        ("JaccardLoss", "LovaszSoftmaxLoss", "LovaszHingeLoss", "PowerJaccardLoss"),
        "each extends that index to probabilities in a way of its own",
    ),
    (
        "labels are soft",
        ("JaccardMetricLoss", "CrossEntropyLoss"),
        "least where the prediction is the label, as Dice and Jaccard are not",
    ),
    (
        "some confusions are worse than others",
        ("GeneralizedWassersteinDiceLoss",),
        "a matrix says how far apart two classes are",
    ),
    (
        "contours must not be far off",
        (
            "BoundaryLoss",
            "HausdorffDistanceTransformLoss",
            "HausdorffErosionLoss",
            "HausdorffConvolutionLoss",
            "RegionWiseLoss",
            "DistanceMapCrossEntropyLoss",
        ),
        "what an error weighs depends on its distance from the contour",
    ),
    (
        "contours must be sharp",
        ("ActiveBoundaryLoss", "BoundaryDoULoss", "InverseFormLoss", "ConditionalBoundaryLoss"),
        "they look at the pixels along the contour",
    ),
    (
        "contours must be short",
        ("ActiveContourLoss",),
        "the length of the contour is part of the loss",
    ),
    (
        "neighbouring pixels belong together",
        ("RegionMutualInformationLoss",),
        "windows of pixels are compared, not pixels",
    ),
    (
        "some images are labelled wrongly",
        ("RobustTLoss",),
        "a large error grows as a logarithm; how soon is learnt",
    ),
    (
        "objects of a class touch, and are to be told apart",
        ("PartitionLoss",),
        "it compares which pixels belong together, and a semantic network learns instances",
    ),
    (
        "embeddings of a class should lie together",
        ("TripletLoss", "CenterLoss"),
        "they look at features, not at probabilities",
    ),
)

#: Names that have a place of their own on the site, besides the losses.
DOCUMENTED = (
    "metriseg.Batch",
    "metriseg.RegionStatistics",
    "metriseg.region_statistics",
    "metriseg.SegmentationLoss",
    "metriseg.PixelLoss",
    "metriseg.DistanceLoss",
    "metriseg.TableLoss",
    "metriseg.OverlapLoss",
    "metriseg.RegionLoss",
    "metriseg.UnknownArgumentError",
    "metriseg.debug",
    "metriseg.distances",
    "metriseg.distances.distance_to",
    "metriseg.distances.distance_transform",
    "metriseg.distances.inside_distance",
    "metriseg.distances.label_distance_transform",
    "metriseg.distances.signed_distance_map",
    "metriseg.extraction",
    "metriseg.extraction.ClassSegments",
    "metriseg.extraction.KNNSegments",
    "metriseg.extraction.KernelSegments",
    "metriseg.extraction.Segments",
    "metriseg.extraction.SlotSegments",
    "metriseg.extraction.group_embedding",
    "metriseg.functional.gaussian_frequencies",
    "metriseg.functional.kernel_partition_distance",
    "metriseg.functional.soft_partition_distance",
    "metriseg.losses.schedules",
    "metriseg.losses.schedules.ConstantSchedule",
    "metriseg.losses.schedules.CosineSchedule",
    "metriseg.losses.schedules.LinearSchedule",
    "metriseg.losses.schedules.StepSchedule",
    "metriseg.partitions",
    "metriseg.partitions.weights",
    "metriseg.partitions.ArbitraryWeight",
    "metriseg.partitions.ContingencyTable",
    "metriseg.partitions.FeatureWeight",
    "metriseg.partitions.KernelWeight",
    "metriseg.partitions.PartitionIndex",
    "metriseg.partitions.PowerWeight",
    "metriseg.partitions.ProductMeasure",
    "metriseg.partitions.SizeWeight",
    "metriseg.partitions.UnionWeight",
    "metriseg.partitions.UnitWeight",
    "metriseg.partitions.adapted_rand_error",
    "metriseg.partitions.adjusted_rand_index",
    "metriseg.partitions.check_metric_axioms",
    "metriseg.partitions.color_bins",
    "metriseg.partitions.color_features",
    "metriseg.partitions.contingency_table",
    "metriseg.partitions.disagreement_map",
    "metriseg.partitions.earth_movers_distance",
    "metriseg.partitions.intensity_bins",
    "metriseg.partitions.intensity_features",
    "metriseg.partitions.larsen_aone_dissimilarity",
    "metriseg.partitions.microm_distance",
    "metriseg.partitions.mirkin_distance",
    "metriseg.partitions.partition_distance",
    "metriseg.partitions.partition_scores",
    "metriseg.partitions.partition_sketch",
    "metriseg.partitions.rand_index",
    "metriseg.partitions.satisfies_weight_conditions",
    "metriseg.partitions.signature_distance",
    "metriseg.partitions.split_and_merge",
    "metriseg.partitions.texture_bins",
    "metriseg.partitions.texture_features",
    "metriseg.partitions.van_dongen_distance",
    "metriseg.partitions.variation_of_information",
    "metriseg.partitions.weighted_partition_distance",
)


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
    return _table(("argument", "type", "default", "meaning"), rows)


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
    return _table(("property", "value"), rows)


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


def loss_tables(entries: Iterable[Entry] = CATALOGUE.values()) -> str:
    """All losses, a table a level."""
    parts = []
    for level, members in by_level(entries).items():
        rows = [
            (
                f"[{entry.name}](losses/{entry.name}.md)",
                f"`{entry.summary}`",
                perfect(entry),
                dimensions(entry),
                "yes" if entry.soft_targets else "no",
            )
            for entry in members
        ]
        head = ("loss", "formula", "at a perfect prediction", "images", "soft labels")
        parts += [f"### {level.capitalize()}: {LEVELS[level]}", _table(head, rows)]
    return "\n\n".join(parts) + "\n"


def guide(catalogue: dict[str, Entry] = CATALOGUE) -> str:
    """Problems, and the losses that are made for them."""
    rows = []
    for problem, names, reason in GUIDE:
        known = [f"[{name}](losses/{name}.md)" for name in names if name in catalogue]
        if known:
            rows.append((problem, ", ".join(known), reason))
    return _table(("if", "look at", "because"), rows) + "\n"


def navigation(entries: Iterable[Entry] = CATALOGUE.values()) -> str:
    """The losses by level, for mkdocs-literate-nav."""
    lines = []
    for level, members in by_level(entries).items():
        lines.append(f"- {level.capitalize()}")
        lines += [f"    - [{entry.name}]({entry.name}.md)" for entry in members]
    return "\n".join(lines) + "\n"


def by_level(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The levels that have losses, in their order."""
    entries = list(entries)
    found = {level: [e for e in entries if e.level == level] for level in LEVELS}
    return {level: members for level, members in found.items() if members}


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


def identifier(name: str) -> str:
    """What a loss's page is called in cross-references."""
    return f"metriseg.{name}"


def resolve(name: str) -> str | None:
    """The cross-reference of a name that a docstring mentions; None where it has no page."""
    last = name.rpartition(".")[2]
    if last in CATALOGUE:
        return identifier(last)
    known = {reference.rpartition(".")[2]: reference for reference in DOCUMENTED}
    inside = name.startswith("metriseg.") or "." not in name
    return known.get(last) if inside else None


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


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _blocks(text: str) -> str:
    return sphinx_markup.blocks(text, resolve)


def _inline(text: str) -> str:
    return sphinx_markup.inline(text, resolve)
