"""From the docstrings' markup (Sphinx roles and directives) to the site's Markdown."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable

#: Gives the identifier that a name such as ``metriseg.batch.Batch`` has on the site, or None.
Resolve = Callable[[str], str | None]

_DIRECTIVE = re.compile(r"^( *)\.\. math::[ \t]*(.*)$")
_SECTION = re.compile(r"^(\w+):$")
_ITEM = re.compile(r"^(\*{0,2}\w+(?:, \w+)*)(?: \([^)]*\))?:(?:\s+|$)(.*)", re.DOTALL)
_LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.) ")

_TOKENS = re.compile(
    r"""
      :(?:\w+:)?(?P<role>\w+):`(?P<target>[^`]+)`
    | ``(?P<literal>.+?)``
    | `(?P<text>[^`<]+?)\s*<(?P<address>https?://[^>]+)>`__?
    | `(?P<code>[^`]+)`
    | (?P<url>https?://[^\s<>)]*[^\s<>).,;:])
    | \b(?P<arxiv>arXiv:(?P<arxiv_id>\d{4}\.\d{4,5}|[a-z-]+/\d{7}))
    | \b(?P<doi>doi:(?P<doi_id>10\.\d{4,}/[^\s,;]*[^\s,;.)]))
    | \b(?P<hal>hal-\d{8})
    | (?<![\w*])\*(?P<emphasis>\w[^*]*\w)\*(?![\w*])
    """,
    re.VERBOSE | re.DOTALL,
)


def paper_address(source: str) -> str | None:
    """Where a paper is found by the identifier that the catalogue has; None for a title.

    >>> paper_address("arXiv:1706.05721")
    'https://arxiv.org/abs/1706.05721'
    """
    for prefix, address in (
        ("arXiv:", "https://arxiv.org/abs/"),
        ("doi:", "https://doi.org/"),
    ):
        if source.startswith(prefix):
            return address + source.removeprefix(prefix)
    return f"https://hal.science/{source}" if source.startswith("hal-") else None


def inline(text: str, resolve: Resolve = lambda name: None) -> str:
    """Running text: roles, literals, links and the identifiers of papers.

    >>> inline(r":math:`p_c` in [0, 1], see ``sync`` and arXiv:1706.05721")
    '$p_c$ in \\\\[0, 1\\\\], see `sync` and [arXiv:1706.05721](https://arxiv.org/abs/1706.05721)'
    """
    parts, end = [], 0
    for match in _TOKENS.finditer(text):
        parts.append(_escaped(text[end : match.start()]))
        parts.append(_token(match, resolve))
        end = match.end()
    return "".join([*parts, _escaped(text[end:])])


def blocks(text: str, resolve: Resolve = lambda name: None) -> str:
    """Whole paragraphs, with displayed formulas and examples; indentation stays."""
    lines = text.splitlines()
    found: list[str] = []
    running: list[str] = []
    position = 0

    def flush() -> None:
        if running:
            found.append(_prose(running, resolve))
            running.clear()

    while position < len(lines):
        line = lines[position]
        directive = _DIRECTIVE.match(line)
        if directive:
            flush()
            margin, first = directive.groups()
            stop = _end_of_block(lines, position + 1, len(margin))
            formula = [first, *(row.strip() for row in lines[position + 1 : stop])]
            found.append(_display(formula, margin))
            position = stop
        elif line.lstrip().startswith(">>>"):
            flush()
            stop = position
            while stop < len(lines) and lines[stop].strip():
                stop += 1
            found.append(_example(lines[position:stop]))
            position = stop
        else:
            running.append(line)
            position += 1
    flush()
    return "\n".join(found).strip("\n")


def sections(docstring: str) -> tuple[str, dict[str, str]]:
    """A docstring's running text, and its sections (Args, Raises, …) by name, not yet converted."""
    lines = inspect.cleandoc(docstring).splitlines()
    text: list[str] = []
    found: dict[str, str] = {}
    position = 0
    while position < len(lines):
        header = _SECTION.match(lines[position])
        stop = _end_of_block(lines, position + 1, 0)
        if header and stop > position + 1:
            content = textwrap.dedent("\n".join(lines[position + 1 : stop])).strip("\n")
            found[header[1]] = content
            position = stop
        else:
            text.append(lines[position])
            position += 1
    return "\n".join(text), found


def items(section: str) -> dict[str, str]:
    """What a section says of each name in it, a line each, not yet converted.

    >>> items("low, high: the bounds\\n    of it.\\nname: a word.")
    {'low': 'the bounds of it.', 'high': 'the bounds of it.', 'name': 'a word.'}
    """
    found: dict[str, str] = {}
    for part in re.split(r"\n(?=\S)", section):
        match = _ITEM.match(part)
        if match is None:
            raise ValueError(f"a section must have items 'name: description', got {part!r}")
        for name in match[1].split(", "):
            found[name.lstrip("*")] = _one_line(match[2])
    return found


def cell(markdown: str) -> str:
    """Converted text as a cell of a table, where a bar would end it."""
    parts = re.split(r"(`[^`]*`|(?<!\\)\$[^$]+\$)", markdown)
    return "".join(_without_bars(part) for part in parts)


def _without_bars(part: str) -> str:
    if part.startswith("`"):
        return part
    if part.startswith("$"):
        return re.sub(r"(?<!\\)\|", r"\\vert ", part).replace(r"\|", r"\Vert ")
    return part.replace("|", "&#124;")


def _end_of_block(lines: list[str], position: int, margin: int) -> int:
    """Where what is indented beyond ``margin`` ends, blank lines behind it left out."""
    stop = position
    for number in range(position, len(lines)):
        line = lines[number]
        if not line.strip():
            continue
        if len(line) - len(line.lstrip()) <= margin:
            break
        stop = number + 1
    return stop


def _display(formula: list[str], margin: str) -> str:
    rows = [row for row in formula if row and not row.startswith(":")]
    return "\n".join(margin + row for row in ("", "$$", *rows, "$$", ""))


def _example(lines: list[str]) -> str:
    margin = " " * (len(lines[0]) - len(lines[0].lstrip()))
    return "\n".join(["", f"{margin}```pycon", *lines, f"{margin}```", ""])


def _prose(lines: list[str], resolve: Resolve) -> str:
    """Converted as one text, so that a role may go on in the next line."""
    converted = inline("\n".join(lines), resolve)
    spaced: list[str] = []
    for line in converted.splitlines():
        # Markdown wants an empty line before a list
        opens = _LIST_ITEM.match(line) and spaced and spaced[-1].strip()
        if opens and not _LIST_ITEM.match(spaced[-1]) and not spaced[-1].startswith("  "):
            spaced.append("")
        spaced.append(line)
    return "\n".join(spaced)


def _one_line(text: str) -> str:
    text = re.sub(r"\.\. math::\s*(.*)", r":math:`\1`", text)
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """What Markdown would take for markup; a star may open a list, an underscore join a name."""
    text = re.sub(r"([\\\[\]{}$]|(?<!^)(?<!\n)\*|(?<!\w)_|_(?!\w))", r"\\\1", text)
    return text.replace("<", "&lt;")


def _token(match: re.Match[str], resolve: Resolve) -> str:
    found = match.groupdict()
    if found["role"]:
        return _role(found["role"], " ".join(found["target"].split()), resolve)
    if found["literal"] or found["code"]:
        code = " ".join((found["literal"] or found["code"]).split())
        return f"`{code}`"
    if found["address"]:
        return f"[{_escaped(' '.join(found['text'].split()))}]({found['address']})"
    if found["url"]:
        return f"<{found['url']}>"
    if found["emphasis"]:
        return f"*{_escaped(found['emphasis'])}*"
    identifier: str = found["arxiv"] or found["doi"] or found["hal"]
    return f"[{_escaped(identifier)}]({paper_address(identifier)})"


def _role(role: str, target: str, resolve: Resolve) -> str:
    if role == "math":
        return f"${target}$"
    title = re.fullmatch(r"(.*\S)\s*<(.+)>", target)
    name = title[2] if title else target.lstrip("~!")
    text = title[1] if title else (name.rpartition(".")[2] if target.startswith("~") else name)
    text = f"{text}()" if role in ("func", "meth") and not text.endswith(")") else text
    identifier = None if target.startswith("!") else resolve(name)
    return f"[`{text}`][{identifier}]" if identifier else f"`{text}`"
