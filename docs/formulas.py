"""Formulas as MathML, which browsers draw by themselves: no script, no network."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from latex2mathml.converter import convert

_LATEX = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_NAMESPACE = ' xmlns="http://www.w3.org/1998/Math/MathML"'
_FUNCTIONS = frozenset(
    {"ln", "log", "exp", "cosh", "sinh", "tanh", "cos", "sin", "arg", "dim", "ker"}
)


def mathml(latex: str, *, display: bool = False) -> str:
    """A formula in LaTeX as a ``math`` element.

    >>> mathml("t_c")
    '<math display="inline"><mrow><msub><mi>t</mi><mi>c</mi></msub></mrow></math>'
    """
    latex = latex.replace("{aligned}", "{align*}").replace("{gathered}", "{align*}")
    written = convert(latex, display="block" if display else "inline")
    root = ElementTree.fromstring(written.replace(_NAMESPACE, ""))
    for element in list(root.iter()):
        _set_functions_apart(element)
        _draw_bar(element)
    return ElementTree.tostring(root, encoding="unicode")


def render(page: str) -> str:
    """A page's HTML with every formula that Markdown left as LaTeX drawn."""
    return _LATEX.sub(_drawn, page)


def _drawn(match: re.Match[str]) -> str:
    tag, opening, latex = match.groups()
    drawn = mathml(html.unescape(latex).strip(), display=opening == "[")
    return f'<{tag} class="formula" data-search-exclude>{drawn}</{tag}>'


def _set_functions_apart(row: ElementTree.Element) -> None:
    """A thin space beside ln and its like, unless an operator or a bracket stands there."""
    if row.tag not in ("mrow", "mtd", "math", "mstyle"):
        return
    spaced: list[ElementTree.Element] = []
    after_function = False
    for child in list(row):
        is_function = child.tag == "mi" and child.text in _FUNCTIONS
        operand = child.tag not in ("mo", "mspace")
        if spaced and operand and (after_function or is_function) and spaced[-1].tag != "mo":
            spaced.append(ElementTree.Element("mspace", width="0.167em"))
        spaced.append(child)
        after_function = is_function
    row[:] = spaced


def _draw_bar(element: ElementTree.Element) -> None:
    """A bar over a whole term as a border: few fonts have one that stretches."""
    if element.tag != "mover" or len(element) != 2 or element[1].text != "\N{HORIZONTAL BAR}":
        return
    term = element[0]
    element.clear()
    element.tag = "mtext"
    bar = ElementTree.SubElement(element, "span", {"class": "overline"})
    ElementTree.SubElement(bar, "math").append(term)
