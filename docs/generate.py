"""Writes the pages that follow from the catalogue, while mkdocs builds the site."""

from __future__ import annotations

import mkdocs_gen_files

import loss_pages
import overview
from metriseg.catalogue import CATALOGUE


def write(path: str, text: str, mode: str = "w") -> None:
    with mkdocs_gen_files.open(path, mode) as page:
        page.write(text)


write("losses/SUMMARY.md", overview.navigation())
write("choose.md", f"\n{overview.guide()}\n## All losses\n\n{overview.loss_tables()}", "a")
linked: set[str] = set()
for entry in CATALOGUE.values():
    write(f"losses/{entry.name}.md", loss_pages.loss_page(entry))
    linked.update(place.path for place in loss_pages.linked_places(entry))
for path in sorted(linked):
    write(f"source/{path}.md", loss_pages.source_page(path))
