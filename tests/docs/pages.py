"""The fenced blocks of README.md and docs/*.md, with the line on which each begins."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Snippet(NamedTuple):
    """A fenced block."""

    page: Path
    line: int
    text: str

    def padded(self) -> str:
        """The text behind so many empty lines that a traceback names the line of the page."""
        return "\n" * (self.line - 1) + self.text


def snippets(page: Path, language: str) -> Iterator[Snippet]:
    """The blocks of a page in one language."""
    text = page.read_text("utf-8")
    for found in _FENCE.finditer(text):
        if found[1] == language:
            yield Snippet(page, text.count("\n", 0, found.start(2)) + 1, found[2])


def lines(page: Path) -> Iterator[str]:
    """The lines of the shell blocks of a page, continued ones joined."""
    for snippet in snippets(page, "sh"):
        yield from snippet.text.replace("\\\n", " ").splitlines()


def commands(page: Path) -> Iterator[list[str]]:
    """The calls of `amili-arm` in the shell blocks of a page, as arguments."""
    for line in lines(page):
        for part in re.split(r"&&|\|(?!\|)", line):
            words = shlex.split(part, comments=True)
            if words and Path(words[0]).name == "amili-arm":
                yield words[1:]


def has(page: Path, language: str) -> bool:
    """Whether a page has a block in this language."""
    return any(True for _ in snippets(page, language))
