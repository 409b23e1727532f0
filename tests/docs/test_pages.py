"""The pages name every state, every error and every option, and README stays short."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import amili_arm_async
from amili_arm_async import ArmError, BulkOptions
from amili_arm_async.bulk.outcomes import STATE_RULES, STATES

from ..house.test_structure import ROOMS
from .pages import PAGES, ROOT

DOCS = ROOT / "docs"


def first_cells(page: str) -> list[str]:
    """The names in the first cells of the tables of a page, in their order."""
    rows = re.findall(r"^\| (`[^|]+) \|", (DOCS / page).read_text("utf-8"), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


@pytest.mark.parametrize("page", ["bulk.md", "nightly.md"])
def test_every_state_has_a_row(page):
    assert set(STATES) <= set(first_cells(page))


def test_the_table_of_states_says_what_the_library_says():
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", (DOCS / "bulk.md").read_text("utf-8"))
    rows = {name: cells for name, *cells in re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \|$", text, re.MULTILINE)}
    success = {"yes": "yes", "not_awaited": 'only with `results="accepted"`', "no": "no"}
    on_server = {"yes": "yes", "maybe": "perhaps", "no": "no"}
    for state, rule in STATE_RULES.items():
        meaning, *rest = rows[state]
        assert meaning.startswith(rule.meaning), state
        assert rest == [success[rule.success], on_server[rule.on_server]], state


def test_every_error_is_named():
    text = (DOCS / "errors.md").read_text("utf-8")
    errors = [name for name in amili_arm_async.__all__ if isinstance(getattr(amili_arm_async, name), type)]
    assert [name for name in errors if issubclass(getattr(amili_arm_async, name), ArmError) and f"`{name}`" not in text] == []


def test_every_option_of_a_bulk_run_has_a_row():
    assert {field.name for field in dataclasses.fields(BulkOptions)} <= set(first_cells("bulk.md"))


def test_readme_is_short_and_begins_with_its_two_commands():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 150
    first, second = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[:2]
    assert "amili-arm demo" in first
    assert "pytest" in second


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text("utf-8"))
    # The reference is made when the site is built.
    missing = [target for target in targets if not (page.parent / target).exists() and not target.startswith("reference/")]
    assert missing == []


def test_the_architecture_names_every_room_from_top_to_bottom():
    text = (DOCS / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", text[: text.index("## A single call")], re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert named == [room for room in ROOMS if room != "__init__"]


def test_every_file_that_the_architecture_names_is_there():
    text = (DOCS / "architecture.md").read_text("utf-8")
    paths = {path for path in re.findall(r"`([\w/]+(?:\.py|\.md|/))`", text) if path != "amili_arm_async/"}
    assert len(paths) > 30
    missing = sorted(path for path in paths if not (ROOT / path).exists() and not (ROOT / "amili_arm_async" / path).exists())
    assert missing == []


def slug(heading: str) -> str:
    """The anchor of a heading, as forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def headings(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_anchor_leads_to_a_heading_on_a_forge_too(page):
    links = re.findall(r"\]\(([\w./]*)#([^)]+)\)", page.read_text("utf-8"))
    missing = [f"{target}#{anchor}" for target, anchor in links if anchor not in headings(page.parent / target if target else page)]
    assert missing == []
