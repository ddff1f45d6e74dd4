"""Hooks of mkdocs: the pages of the site that stand outside docs, and links to what is no page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "overview.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Files beside docs that are pages of the site."""
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]+)?\)")
LIST = re.compile(r"^(?![-*|>#\s]|\d+\. )(.*\S.*)\n(?=(?:[-*] |\d+\. ))", re.MULTILINE)
"""The end of a paragraph that a list follows at once, which GitHub takes for a list, and mkdocs does not."""


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that stand outside docs."""
    for source, name in OUTSIDE.items():
        text = _linked((ROOT / source).read_text(encoding="utf-8"), (ROOT / source).parent)
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links out of docs at pages of the site, or at nothing."""
    if page.file.src_uri not in OUTSIDE.values():
        markdown = _linked(markdown, ROOT / "docs")
    return LIST.sub(r"\1\n\n", markdown)


def _linked(text: str, folder: Path) -> str:
    """Return the text with links that work in the site; what is no page of it becomes plain text."""

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        place = (folder / target).resolve().relative_to(ROOT).as_posix()
        if place in OUTSIDE:
            return f"[{text}]({OUTSIDE[place]}{anchor})"
        if place.startswith("docs/") and place.endswith(".md"):
            return f"[{text}]({place.removeprefix('docs/')}{anchor})"
        return text

    return LINK.sub(link, text)
