"""The help of every command is readable in a narrow terminal, and nothing in it is cut."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from amili_arm_async.cli.app import app
from amili_arm_async.cli.command import CONNECTION, JOURNAL, OUTPUT, RUN, SOURCE
from amili_arm_async.cli.help import entry
from amili_arm_async.cli.settings_schema import KNOWN

PANELS = {CONNECTION, SOURCE, RUN, JOURNAL, OUTPUT, "Arguments", "Options"}
LEAST = 36
"""Columns that the meaning of an option has at least, at 80 columns."""


def walk(command: Any, words: list[str]) -> Iterator[list[str]]:
    yield words
    for name, one in getattr(command, "commands", {}).items():
        yield from walk(one, [*words, name])


ALL = list(walk(typer.main.get_command(app), []))
NAMES = [" ".join(words) or "amili-arm" for words in ALL]


def shown(words: list[str], columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    found = CliRunner().invoke(app, [*words, "--help"], prog_name="amili-arm")
    assert found.exit_code == 0
    return str(found.output)


def entries(words: list[str]) -> list[Any]:
    command: Any = typer.main.get_command(app)
    context = command.make_context("amili-arm", [], resilient_parsing=True)
    for word in words:
        command = command.commands[word]
        context = command.make_context(word, [], parent=context, resilient_parsing=True)
    return [entry(parameter, context) for parameter in command.get_params(context)]


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("words", ALL, ids=NAMES)
def test_no_line_is_longer_than_the_terminal(words, columns, monkeypatch):
    text = shown(words, columns, monkeypatch)
    assert max(map(len, text.splitlines())) <= columns
    assert "…" not in text


@pytest.mark.parametrize("words", ALL, ids=NAMES)
def test_every_name_variable_and_word_is_whole_at_80_columns(words, monkeypatch):
    text = shown(words, 80, monkeypatch)
    for one in entries(words):
        assert one.name in text
        for word in " ".join([one.text, *one.notes]).split():
            assert word in text
        for note in one.notes:
            assert not note.startswith("Env: ") or note in text


@pytest.mark.parametrize("words", ALL, ids=NAMES)
def test_the_meaning_of_an_option_has_at_least_36_columns(words, monkeypatch):
    for line in shown(words, 80, monkeypatch).splitlines():
        if line.startswith("│ "):
            name, _, meaning = line.strip("│ ").partition("  ")
            start = line.index(meaning.strip()) if meaning.strip() else 2 + len(name)
            assert 80 - 2 - start >= LEAST or not meaning, line


@pytest.mark.parametrize("words", ALL, ids=NAMES)
def test_every_option_is_in_a_panel_that_is_known(words):
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    panels = {panel for one in command.params if (panel := getattr(one, "rich_help_panel", None)) is not None}
    assert panels <= PANELS
    if CONNECTION in panels and len(panels) > 2:
        assert [one.name for one in command.params if not getattr(one, "rich_help_panel", None) and one.param_type_name == "option"] == []


@pytest.mark.parametrize("words", [["push"], ["sync"], ["nightly"]], ids=" ".join)
def test_the_variable_of_an_option_is_told(words):
    found = {one.name.split()[-2 if " " in one.name else 0]: one.notes for one in entries(words)}
    assert f"Env: {KNOWN['connection.base_url'].variable}" in found["--base-url"]
    assert f"Env: {KNOWN['bulk.max_records'].variable}" in found["--max-records"]
    assert f"Env: {KNOWN['source.encoding'].variable}" in found["--encoding"]
    assert "Env: AMILI_ARM_CONFIG" in found["--config"]


def test_the_list_of_commands_has_one_line_for_each(monkeypatch):
    text = shown([], 80, monkeypatch)
    commands = [words[0] for words in ALL if len(words) == 1]
    listed = text[text.index("Daily work") :]
    assert len([line for line in listed.splitlines() if line.startswith("│")]) == len(commands)
    assert all(f"│ {name} " in listed for name in commands)


def test_the_help_of_a_terminal_has_colours_and_the_same_text(monkeypatch):
    plain = shown(["push"], 80, monkeypatch)
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = shown(["push"], 80, monkeypatch)
    assert "\x1b[" in coloured
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == plain


def test_a_command_that_is_given_nothing_says_how_it_is_used(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    found = CliRunner().invoke(app, ["push"], prog_name="amili-arm")
    assert found.exit_code == 2
    assert "Usage: amili-arm push [OPTIONS] KIND FILE" in found.output
