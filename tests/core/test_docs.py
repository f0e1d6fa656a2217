"""The documentation: a page for every loss, made of what stands in the code."""

from __future__ import annotations

import doctest
import html.parser
import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import torch

import loss_pages
import overview
import peers
import references
import repository
import snippets
import sphinx_markup
from metriseg.catalogue import CATALOGUE, Entry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FENCED = re.compile(r"^```(\w+).*?\n(.*?)^```", re.DOTALL | re.MULTILINE)


def without_code(markdown: str) -> str:
    return re.sub(r"`[^`\n]+`", "", FENCED.sub("", markdown))


def section(page: str, title: str) -> str:
    """What stands under a heading, up to the next of its rank or above."""
    found = re.search(rf"^(#+) {title}\n(.*?)(?=^#{{1,3}} |\Z)", page, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[2]


def refused(plugin: str, entry: Entry) -> bool:
    return entry.name in repository.unsupported(plugin)


# ---------------------------------------------------------------------- the page of a loss


def test_a_page_defines_its_loss(entry: Entry) -> None:
    """Summary, displayed formula, paper, promises and a doctest example."""
    page = loss_pages.loss_page(entry)
    first_sentence = inspect.cleandoc(entry.loss.__doc__).splitlines()[0].rstrip(".")
    assert page.startswith(f"# {entry.name} ")
    assert first_sentence.split("`")[0].split(":")[0] in page
    assert page.count("$$") >= 2
    assert re.search(r"^>>> ", section(page, "Example"), re.MULTILINE)
    assert entry.paper in page
    address = sphinx_markup.paper_address(entry.source)
    assert (f"]({address})" if address else entry.source) in page
    assert f"| at a perfect prediction | {loss_pages.perfect(entry)} |" in page


def test_a_page_has_every_argument(entry: Entry) -> None:
    """One row an argument of the constructor: type, default, and a meaning from the docstring."""
    table = section(loss_pages.loss_page(entry), "Arguments")
    rows = re.findall(r"^\| `(\w+)` \| `.+` \| (?:required|`.*`) \| (.*) \|$", table, re.MULTILINE)
    assert [name for name, _ in rows] == list(inspect.signature(entry.loss).parameters)
    assert all(meaning.strip() for _, meaning in rows), rows
    for row in re.findall(r"^\|.*\|$", table, re.MULTILINE):
        assert re.sub(r"`[^`]*`", "", row).count("|") == 5, row


def test_a_page_has_no_markup_of_sphinx(entry: Entry) -> None:
    text = without_code(loss_pages.loss_page(entry))
    for leftover in (":class:", ":meth:", ":math:", ".. ", "``", ">>>", "Args:", "Source:", "`_"):
        assert leftover not in text, leftover


def test_a_page_leads_to_files_that_exist(entry: Entry) -> None:
    """Class, formula, oracle and tests; the line is the definition's."""
    assert f"tests/reference/{repository.oracle(entry).path.rpartition('/')[2]}" in (
        loss_pages.links(entry)
    )
    for place in loss_pages.linked_places(entry):
        lines = (ROOT / place.path).read_text().splitlines()
        if place.line > 1:
            assert re.match(r"(class|def|@|\w+: )", lines[place.line - 1]), place


def test_formulas_are_drawn(entry: Entry) -> None:
    """No command is left that MathML doesn't know, neither on the page nor in its table."""
    formulas = pytest.importorskip("formulas", reason="latex2mathml is not installed")
    text = FENCED.sub("", loss_pages.loss_page(entry))
    found = re.findall(r"\$\$\n(.*?)\n\s*\$\$", text, re.DOTALL)
    text = re.sub(r"\$\$\n.*?\n\s*\$\$", "", text, flags=re.DOTALL)
    found += re.findall(r"(?<!\\)\$([^$]+)\$", re.sub(r"`[^`\n]+`", "", text))
    assert found
    for latex in found:
        drawn = formulas.mathml(latex)
        assert "\\" not in drawn, (latex, drawn)


# ---------------------------------------------------------------------- choosing a loss


def test_every_framework_or_the_reason(entry: Entry) -> None:
    page = loss_pages.loss_page(entry)
    for plugin, framework in repository.PLUGINS.items():
        text = section(page, framework)
        if refused(plugin, entry):
            assert "Not offered" in text
            continue
        ((language, snippet),) = FENCED.findall(text)
        assert language in ("python", "json", "yaml")
        assert entry.name in snippet


def test_the_manifest_gives_the_reason(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(repository.unsupported("metriseg_monai"), entry.name, "it needs a `moon`")
    text = section(loss_pages.loss_page(entry), "MONAI")
    assert text.strip() == "Not offered in MONAI: it needs a `moon`."


def test_mmsegmentation_builds_the_snippet(entry: Entry) -> None:
    names: dict[str, Any] = {}
    exec(snippets.mmsegmentation(entry), names)
    config = names["model"]["decode_head"]["loss_decode"]
    assert config["type"] == f"metriseg_mmseg.{entry.name}"
    if refused("metriseg_mmseg", entry) or snippets.OPEN in snippets.mmsegmentation(entry):
        return
    pytest.importorskip("mmseg", reason="mmseg is not installed")
    from mmengine.registry import MODELS

    assert isinstance(MODELS.build(config), entry.loss)


def test_monai_builds_the_snippet(entry: Entry) -> None:
    config = json.loads(snippets.monai(entry))
    assert config["loss"]["_target_"] == f"metriseg_monai.{entry.name}"
    if refused("metriseg_monai", entry) or snippets.OPEN in snippets.monai(entry):
        return
    pytest.importorskip("monai", reason="monai is not installed")
    from monai.bundle import ConfigParser

    assert isinstance(ConfigParser(config).get_parsed_content("loss"), entry.loss)


def test_detectron2_builds_the_snippet(entry: Entry) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    config = yaml.safe_load(snippets.detectron2(entry))
    ((node, head),) = config["MODEL"].items()
    assert [loss["NAME"] for loss in head["LOSSES"]] == [entry.name]
    if refused("metriseg_detectron2", entry) or snippets.OPEN in snippets.detectron2(entry):
        return
    pytest.importorskip("detectron2", reason="Detectron2 is not installed")
    from metriseg_detectron2.config import HEADS, build_losses
    from metriseg_detectron2.convention import Seen
    from metriseg_detectron2.loss_modules import LossModules

    assert "LOSSES" in HEADS[node][head["NAME"]].keys
    of_masks, of_classes = Seen.of_regions("loss", 2), Seen.of_classes("loss", entry.min_classes)
    seen = of_masks if node == "ROI_MASK_HEAD" else of_classes
    modules = LossModules(build_losses(head["LOSSES"]), seen)
    assert isinstance(modules[0], entry.loss)


# ---------------------------------------------------------------------- the other pages


def test_the_tables_have_every_loss_once() -> None:
    """In a row of five cells each, and once in the navigation."""
    tables, navigation = overview.loss_tables(), overview.navigation()
    for row in re.findall(r"^\|.*\|$", tables, re.MULTILINE):
        assert re.sub(r"`[^`]*`", "", row).count("|") == 6, row
    for name in CATALOGUE:
        assert tables.count(f"(losses/{name}.md)") == 1
        assert navigation.count(f"({name}.md)") == 1


def test_every_problem_of_the_guide_has_a_loss() -> None:
    """Of those that the catalogue has, or may have one day."""
    guide = overview.guide()
    for _, names, _ in overview.GUIDE:
        assert names
        assert all((f"(losses/{name}.md)" in guide) == (name in CATALOGUE) for name in names)


def test_documented_names_exist() -> None:
    for reference in references.DOCUMENTED:
        module, _, name = reference.rpartition(".")
        try:
            importlib.import_module(reference)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), name), reference


#: Page -> where its framework's losses are, and our names beside the catalogue's.
FRAMEWORK_LOSSES = {
    "monai": ("monai.losses", "metriseg_monai"),
    "mmsegmentation": ("mmseg.models.losses", "metriseg_mmseg"),
    "peers": ("monai.losses", "metriseg_monai", "mmseg.models.losses", "metriseg_mmseg"),
}


def of_framework(page: str, name: str) -> bool:
    """Whether the framework of a page has such a loss, as far as anybody here can tell."""
    if page == "peers":
        named = (line for peer in peers.PEERS.values() for line in peers.table(peer).splitlines())
        if any(f"`{name}" in line.partition(" | ")[0] for line in named):
            return True
    modules = FRAMEWORK_LOSSES.get(page, ())
    if not all(importlib.util.find_spec(module.partition(".")[0]) for module in modules):
        return True
    return any(hasattr(importlib.import_module(module), name) for module in modules)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_a_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs, JSON and YAML parse, losses and files that are named exist."""
    text = page.read_text()
    # for the files that it writes
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    for language, code in FENCED.findall(text):
        if language == "python":
            exec(code, {})
        elif language == "json":
            json.loads(code)
        elif language == "yaml":
            assert pytest.importorskip("yaml").safe_load(code)
    for name in re.findall(r"\b([A-Z]\w+Loss)\b", text):
        known = name in CATALOGUE or hasattr(importlib.import_module("metriseg"), name)
        assert known or of_framework(page.stem, name), name
    for path in re.findall(r"`((?:configs|docs|tests|core|plugins)/[^`]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_first_page_says_what_the_readme_says() -> None:
    """The opening, both commands, how to install, and plain PyTorch: word for word."""
    readme, index = (ROOT / "README.md").read_text(), (DOCS / "index.md").read_text()
    opening = readme.split("\n\n")[1]
    assert opening in index
    for language, code in FENCED.findall(index):
        assert f"```{language}\n{code}```" in readme
    for framework, install in re.findall(r"^\| (\w+) \| (.*pip.*?) \|", index, re.MULTILINE):
        assert f"| {framework} | {install} |" in readme


@pytest.mark.parametrize("module", ["loss_pages", "sphinx_markup", "formulas"])
def test_examples_of_the_generator(module: str) -> None:
    if module == "formulas":
        pytest.importorskip("latex2mathml", reason="latex2mathml is not installed")
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted
    assert not results.failed


def test_markup() -> None:
    """Roles over a line's end, foreign names, links, lists and formulas within a text."""
    text = (
        "As :class:`~metriseg.batch.Batch` or\n:func:`there\n<metriseg.no.such>` in [0, b_c).\n"
        "- one\n- `two <https://example.org>`_\n\n.. math:: a\n          b\n\nend"
    )
    assert sphinx_markup.blocks(text, {"metriseg.batch.Batch": "metriseg.Batch"}.get) == (
        "As [`Batch`][metriseg.Batch] or\n`there()` in \\[0, b_c).\n\n"
        "- one\n- [two](https://example.org)\n\n$$\na\nb\n$$\n\n\nend"
    )


# ---------------------------------------------------------------------- the site


class Links(html.parser.HTMLParser):
    """The identifiers of a page, and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.identifiers: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.identifiers |= {found.get("id") or "", found.get("name") or ""}
        for word in ("href", "src"):
            if found.get(word):
                self.links.add(unquote(found[word]))


def test_the_site_builds(tmp_path: Path) -> None:
    """Strictly; every link within it leads somewhere, and it needs nothing from elsewhere."""
    for package in ("material", "mkdocstrings", "mkdocs_gen_files", "latex2mathml"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    built = subprocess.run(
        [*command, "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=300,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {}
    for path in tmp_path.rglob("*.html"):
        pages[path] = Links()
        pages[path].feed(path.read_text())
    for name in CATALOGUE:
        assert tmp_path / "losses" / f"{name}.html" in pages
    for path, page in pages.items():
        if path.name == "404.html":  # its links are absolute
            continue
        assert "\\(" not in path.read_text() or "source" in path.parts, path
        for link in page.links:
            if link.startswith(("https://", "mailto:", "data:")):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            if target.is_dir():
                target /= "index.html"
            assert target.exists(), (path, link)
            if anchor and target in pages:
                assert anchor in pages[target].identifiers | {"__"}, (path, link)
