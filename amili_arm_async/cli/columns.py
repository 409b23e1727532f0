"""`amili-arm columns`: proposes which fields the columns of a file are. For people to read; no command uses it by itself."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from ..errors import counted
from ..sources.likeness import ColumnGuess, Proposal, TableKind, propose
from ..sources.sample import Sample, read_sample
from ..sources.text import check_encoding
from . import output
from .command import OUTPUT, SOURCE, Config, command

__all__ = ["columns"]

_OPTION: Final[Mapping[TableKind, str]] = {"customers": "--column", "documents": "--column", "lines": "--line-column"}

_WHOLE: Final = 300
"""Characters of a reason, at the most."""


class _Kind(StrEnum):
    customers = "customers"
    documents = "documents"
    lines = "lines"


@command
def columns(
    kind: Annotated[
        _Kind, typer.Argument(metavar="KIND", help="What the rows are: customers, documents, or lines (of documents, for --lines).")
    ],
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV, Parquet or JSON lines; it may be compressed.")],
    config: Config = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="SIGN", rich_help_panel=SOURCE, help="CSV delimiter: ; or , or tab. Default: detected.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(metavar="NAME", rich_help_panel=SOURCE, help="Text encoding. Default: detected.")] = None,
    as_json: Annotated[bool, typer.Option("--json", rich_help_panel=OUTPUT, help="Print one line of JSON on standard output.")] = False,
) -> None:
    """Proposes which fields the columns of FILE are, by their names and some of their values, as options and for the settings file.

    Read it, and paste what is right: nothing uses it by itself. What is not sure, or no field, is named with the reason.
    """
    asked = "\t" if delimiter in {"tab", "\\t"} else delimiter
    sample = asyncio.run(read_sample(file, delimiter=asked, encoding=check_encoding(encoding)))
    proposal = propose(kind.value, sample.names, sample.cells, sample.origins)
    if as_json:
        output.print_json(_as_json(file, sample, proposal))
        return
    for line in _lines(file, sample, proposal):
        typer.echo(line)


def _as_json(file: str, sample: Sample, proposal: Proposal) -> dict[str, Any]:
    return {
        "file": file,
        "kind": proposal.kind,
        "rows": sample.rows,
        "is_json": sample.is_json,
        "columns": [
            {"name": guess.name, "field": guess.field, "candidates": guess.candidates, "reason": guess.reason or None}
            for guess in proposal.columns
        ],
        "missing": proposal.missing,
        "needs_decimal_sign": proposal.needs_decimal_sign,
    }


def _lines(file: str, sample: Sample, proposal: Proposal) -> Iterator[str]:
    """Yields what is printed: a part that can be pasted on a command line, and one for the settings file."""
    every = proposal.columns
    mapped = {guess.name: guess.field for guess in every if guess.field is not None and guess.field != guess.name}
    own = sum(guess.field == guess.name for guess in every)
    yield f"# {output.plain(file)}, as {proposal.kind}, by its header and {counted(sample.rows, 'row')}."
    left = len(every) - len(mapped) - own
    yield f"# {counted(len(every), 'column')}: {own} named as in the API, {len(mapped)} recognised, {left} for you to decide."
    if not mapped and not left:
        yield "# No mapping is needed."
        yield from _remarks(proposal)
        return
    yield "# A proposal: read it, and paste what is right."
    if sample.is_json:
        yield "# It is JSON, which has the names of the API: rename the fields where the file is made. Options are for tables."
    yield ""
    if mapped:
        yield "# as options:"
        yield " \\\n".join(f"  {_OPTION[proposal.kind]} {shlex.quote(f'{name}={field}')}" for name, field in mapped.items())
        yield ""
        yield "# in the settings file:"
    yield f"[columns.{proposal.kind}]"
    for name, field in mapped.items():
        yield f'{_toml(name)} = "{field}"'
    for guess in every:
        if guess.field is None:
            yield f"# {_open_question(guess)}"
    yield from _remarks(proposal)


def _toml(text: str) -> str:
    # The escapes of JSON are those of TOML, but for this one.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _open_question(guess: ColumnGuess) -> str:
    name = _toml(output.plain(guess.name))
    reason = output.plain(guess.reason, most=_WHOLE)
    if guess.candidates:
        return f"not sure: {name} = {' or '.join(_toml(field) for field in guess.candidates)}: {reason}"
    return f"not mapped: {name}: {reason}"


def _remarks(proposal: Proposal) -> Iterator[str]:
    for field in proposal.missing:
        remedy = ": --set documentType=IN, if all are invoices" if field == "documentType" else ""
        yield f"# no column is surely {field}, which each record needs{remedy}"
    if proposal.needs_decimal_sign:
        yield "# some numbers, such as 12.000, have two meanings: give --decimal , or --decimal ."
