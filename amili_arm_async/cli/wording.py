"""Messages of the library in the terms of the command line: options instead of Python's arguments, and repeated lines as one."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

__all__ = ["PlacedTexts", "continued", "in_options", "usage_in_words", "wrapped"]

# --- options instead of arguments -------------------------------------------------------------------------------------------

_OPTIONS: Final = {
    "columns": "--column",
    "constants": "--set",
    "decimal_sign": "--decimal",
    "line_columns": "--line-column",
    "client_key_password": "AMILI_ARM_CLIENT_KEY_PASSWORD",
    "client_secret": "AMILI_ARM_CLIENT_SECRET",
}
"""What is named otherwise than its option; any other argument has the option of the same name, with hyphens."""

_ALONE: Final = (
    *("allow_truncated", "at_least", "base_url", "ca_file", "client_cert", "client_id", "client_key"),
    *("client_key_password", "client_no", "client_secret", "dead_letter", "decimal_sign"),
    *("extra_columns", "forget_gone", "identity_url", "line_columns", "lines_optional", "max_bytes", "max_records", "maximum_count"),
    *("page_no", "page_size", "require_document_no", "resend_absent", "resend_known", "run_id", "stop_after_failures", "user_id"),
)
"""Arguments that are recognised in a sentence: they can be nothing else."""

_WITH_VALUE: Final = (
    *_ALONE,
    *("columns", "compression", "concurrency", "constants", "deadline", "decimal", "delimiter", "encoding", "full", "journal"),
    *("lines", "patience", "reconcile", "results", "settle"),
)
"""Arguments that are recognised before `=`, or behind the name of their class."""

_SETTINGS: Final = {"BatchWords": "connection.batch_words", "Limits": "connection.limits", "RetryPolicy": "connection.retry"}
"""Classes whose arguments are settings of the file, and have no option."""

_VALUE: Final = r"""(?:\{[^{}]*\}|"[^"]*"|'[^']*'|\([^()]*\)|[^\s,;:()]*)"""
_SOMETHING_BOTH: Final = re.compile(rf"\b(?:[a-z]+_[a-z_]+|[a-z_]+={_VALUE}) \((--[^()]+)\)")
_BOTH_IN_BRACKETS: Final = re.compile(rf"\([a-z_]+={_VALUE}, (--[^()]+)\)")
_OF_A_CLASS: Final = re.compile(r"\b(?:BulkOptions|Reconcile)\.([a-z_]+)")
_OF_SETTINGS: Final = re.compile(r"\b(BatchWords|Limits|RetryPolicy|Timeout)\.([a-z_]+)")
_PATHS: Final = re.compile(r"ArmClient\(paths=\{(?:'|\")?([\w.]+)(?:'|\")?: \.\.\.\}\)")
_MAPPING: Final = re.compile(r"\b(line_columns|columns|constants)=\{([^{}]*)\}")
_PAIR: Final = re.compile(r'"([^"]*)": "([^"]*)"')
_GIVEN: Final = re.compile(rf"(?<![\w.\"'/-])({'|'.join(_WITH_VALUE)})=({_VALUE})")
_NAMED: Final = re.compile(rf"(?<![\w.\"'/\[{{-])({'|'.join(_ALONE)})(?![\w\"'/=]|\.\w)")

_OF_SETTINGS_FILE: Final = re.compile(r"\.toml: |: connection\.[a-z]")
"""Messages about the settings file, which has the library's names."""

_NO_FIELD: Final = re.compile(r'^(columns|line_columns): "([^"]*)": "([^"]*)" is no field')
_AT_THE_BEGINNING: Final = re.compile(r"^(columns|constants|line_columns): ")

_UNKNOWN_COLUMNS: Final = re.compile(
    r"(?P<head>\d+ columns? (?:are|is) no field of [a-z ]+): (?P<columns>.*?)(?P<more> and \d+ more)?: say which field each is, with "
    r"(?P<option>--line-column|--column) .*?, or pass over them with --extra-columns"
)
_ONE_COLUMN: Final = re.compile(r'(?:column \d+, )?"([^"]*)"(?: \(did you mean ([\w.]+)\?\))?')


@lru_cache(1024)
def in_options(text: str) -> str:
    """Returns a message of the library in the terms of the command line.

    Args:
        text: the message.

    Returns:
        The message, with options where it has arguments, attributes and classes. Columns that are unknown have a line each.
    """
    if _OF_SETTINGS_FILE.search(text):
        return text
    text = text.replace("; what the server wrote is in .body", "").replace("check proxy", "check --proxy")
    text = _SOMETHING_BOTH.sub(r"\1", _BOTH_IN_BRACKETS.sub(r"(\1)", text))
    text = _MAPPING.sub(lambda found: _pairs(found[1], found[2]), text)
    text = _PATHS.sub(r"the key '\1' of [connection.paths]", text)
    text = _OF_A_CLASS.sub(lambda found: _option(found[1]), text)
    text = _OF_SETTINGS.sub(lambda found: f"[{_SETTINGS.get(found[1], 'connection.timeout')}] {found[2]}", text)
    text = re.sub(r"\bBatchWords\b", "[connection.batch_words]", text)
    text = _NO_FIELD.sub(lambda found: f"{_option(found[1])} {shlex.quote(f'{found[2]}={found[3]}')}: {found[3]} is no field", text)
    text = _AT_THE_BEGINNING.sub(lambda found: f"{_option(found[1])}: ", text)
    text = _GIVEN.sub(lambda found: _given(found[1], found[2]), text)
    text = _NAMED.sub(lambda found: _option(found[1]), text)
    return _UNKNOWN_COLUMNS.sub(_lines_of_columns, text)


def _option(name: str) -> str:
    return _OPTIONS.get(name, "--" + name.replace("_", "-"))


def _given(name: str, value: str) -> str:
    bare = value.strip("'\"")
    return _option(name) if bare in {"", "True"} else f"{_option(name)} {bare}"


def _pairs(name: str, mapping: str) -> str:
    return " ".join(f"{_option(name)} {shlex.quote(f'{left}={right}')}" for left, right in _PAIR.findall(mapping)) or _option(name)


def _lines_of_columns(found: re.Match[str]) -> str:
    """Returns a line for each column of a table that is no field: the option to paste."""
    said: set[str] = set()
    lines = []
    for name, near in _ONE_COLUMN.findall(found["columns"]):
        # A field can't be proposed twice.
        meant = "FIELD" if not near or near in said else near
        said.add(near)
        lines.append(f"  {found['option']} {shlex.quote(f'{name}={meant}')}")
    more = [f"  {found['more'].strip()}"] if found["more"] else []
    return "\n".join([f"{found['head']}. Say which field each is:", *lines, *more, "or ignore them with --extra-columns"])


_OF_TYPER: Final = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"^Value error, ", ""),
        (r"^Input should be greater than or equal to (\S+)$", r"it must be at least \1"),
        (r"^Input should be less than or equal to (\S+)$", r"it must be at most \1"),
        (r"^Input should be a valid integer.*", "it must be a whole number"),
        (r"^Input should be a valid number.*", "it must be a number"),
    )
)
"""What typer says of a wrong value, and the same without the terms of its tools."""


def usage_in_words(message: str, parameter: str | None) -> str:
    """Returns what is wrong with a value on the command line.

    Args:
        message: of typer.
        parameter: name of the parameter; None where there is none.

    Returns:
        The message in usual words. Where the kind of records is wrong, it says where the kind stands.
    """
    for pattern, words in _OF_TYPER:
        message = pattern.sub(words, message)
    if parameter == "kind" and "is not one of" in message:
        message = f"{message.rstrip('.')}. KIND comes first, then FILE."
    return message


# --- lines that fit ---------------------------------------------------------------------------------------------------------

_BLANK_IN_CODE: Final = "\ue000"
_CODE: Final = re.compile(r"`[^`]*`")
_WORD_OF_SHELL: Final = re.compile(r"(?:'[^']*'|[^\s'])+")


def wrapped(text: str, width: int | None, indent: str = "  ") -> str:
    """Returns a text whose lines end between words, and not within what stands in backticks.

    Args:
        text: the text. Its lines that begin with a blank are kept as they are.
        width: columns of the terminal; None: there is none, and nothing is changed.
        indent: what further lines begin with.

    Returns:
        The text.
    """
    if width is None or width <= 2 * len(indent):
        return text
    return "\n".join(_wrapped(line, width, indent) for line in text.split("\n"))


def _wrapped(line: str, width: int, indent: str) -> str:
    if len(line) <= width or (line[:1].isspace() and len(indent) <= 2):
        return line
    whole = _CODE.sub(lambda found: found[0].replace(" ", _BLANK_IN_CODE), line)
    parts = textwrap.wrap(whole, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(parts).replace(_BLANK_IN_CODE, " ")


def continued(command: str, width: int | None, indent: str = "    ") -> str:
    """Returns a command for a POSIX shell on several lines that end between words, with what makes the shell read on.

    Args:
        command: the command.
        width: columns of the terminal; None: there is none, and the command stays one line.
        indent: what the first line begins with; further ones are indented deeper.

    Returns:
        The lines.
    """
    if width is None or len(indent) + len(command) <= width:
        return indent + command
    lines = [indent]
    for word in _WORD_OF_SHELL.findall(command):
        is_first = not lines[-1].strip()
        # Each line but the last ends with a blank and a backslash.
        if not is_first and len(lines[-1]) + 1 + len(word) + 2 > width:
            lines.append(f"{indent}  {word}")
        else:
            lines[-1] += word if is_first else f" {word}"
    return " \\\n".join(lines)


# --- repeated lines as one --------------------------------------------------------------------------------------------------

_FEW: Final = 5
"""Records with the same text that have a line each; more of them are one line."""

_MOST_PLACES: Final = 10
"""Records that are named in that line."""


@dataclass
class _Group:
    count: int = 0
    first: list[tuple[int, str, str]] = field(default_factory=list)


class PlacedTexts:
    """Texts about records. Many records with the same text are one line, with their number and the first of them.

    Args:
        most_texts: maximum number of different texts; records with further ones are only counted.

    Attributes:
        others: number of records that are in no line.
    """

    def __init__(self, most_texts: int = 1000) -> None:
        self.others = 0
        self._most_texts = most_texts
        self._groups: dict[str, _Group] = {}

    def add(self, text: str, index: int, place: str, more: str = "") -> None:
        """Takes a text in.

        Args:
            text: what is said of a record.
            index: the place of the record in its source, as a number.
            place: the same in words, such as `line 7`; `""` where the text is about no record.
            more: stands behind the text of this record alone.
        """
        group = self._groups.get(text)
        if group is None:
            if len(self._groups) >= self._most_texts:
                self.others += 1
                return
            group = self._groups[text] = _Group()
        group.count += 1
        if len(group.first) < _MOST_PLACES or index < group.first[-1][0]:
            group.first.append((index, place, more))
            group.first.sort(key=lambda one: one[0])
            del group.first[_MOST_PLACES:]

    def count_more(self, text: str, number: int) -> None:
        """Counts further records with a text.

        Args:
            text: the text; it was added before.
            number: how many records.
        """
        self._groups[text].count += number

    def lines(self, most: int = sys.maxsize) -> Iterator[str]:
        """Gives the lines, in the order of the records.

        Args:
            most: maximum number of lines; the records of further ones are counted in `others`.

        Yields:
            A line.
        """
        lines = sorted((line for text, group in self._groups.items() for line in _lines(text, group)), key=lambda line: line[0])
        self.others += sum(count for _, count, _ in lines[most:])
        for _, _, line in lines[:most]:
            yield line


def _lines(text: str, group: _Group) -> Iterator[tuple[int, int, str]]:
    """Yields the lines of a text, each with the place of its first record, and the number of its records."""
    if group.count <= _FEW and group.count == len(group.first):
        for index, place, more in group.first:
            yield index, 1, (f"{place}: " if place else "") + text + more
        return
    common = _common([place.split(", ") for _, place, _ in group.first])
    places = "; ".join(f"{place.removeprefix(common)}{more}" for _, place, more in group.first)
    more = "; ..." if group.count > len(group.first) else ""
    yield group.first[0][0], group.count, f"{common}{group.count:,} records: {text} ({places}{more})"


def _common(places: list[list[str]]) -> str:
    """Returns what all places begin with, such as the name of a file: it is said once."""
    depth = 0
    while all(len(place) > depth + 1 and place[depth] == places[0][depth] for place in places):
        depth += 1
    return "".join(f"{part}, " for part in places[0][:depth])
