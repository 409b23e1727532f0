"""`amili-arm fields`: lists the fields that a column of a table can hold."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from ..values.fields import Field, fields_of
from . import output
from .command import command
from .source_options import KindArgument, RecordKind

__all__ = ["fields"]

_HEADINGS: Final = ("field", "type", "example", "meaning")

_NOTES: Final = (
    "A dot leads into a group: the column postalAddress.cityName is the field cityName of the group postalAddress.",
    "texts: a list, in one cell with | between the texts: ola@example.no|kari@example.no",
    "date: 2026-11-20 or 20.11.2026. boolean: ja, nei, true, false, 1 or 0.",
    "decimal: 1234.50, or 1234,50; where a number such as 12.000 can mean two, --decimal says which.",
)
_NOTE_OF_LINES: Final = (
    "documentLines.: a row for each line of a document; or one column documentLines with a list of groups (Parquet, data frames); or a "
    "second file (--lines)."
)


@command
def fields(
    kind: KindArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON on standard output.")] = False,
) -> None:
    """Lists every field of a kind of record, with its type, an example and its meaning: what the columns of a table may be.

    `--column Kundenr=customerNo` reads a column with another name as a field; `amili-arm columns KIND FILE` proposes such options.
    """
    found = fields_of(kind.value)
    if as_json:
        output.print_json({"kind": kind.value, "fields": [_as_json(field) for field in found.values()]})
        return
    rows = [_HEADINGS, *[(field.path, field.type, field.example, field.meaning.replace("`", "")) for field in found.values()]]
    output.say_rows(rows, lambda row: (f"{row[0]}  {row[1]}  {row[2]}", f"    {row[3]}"))
    typer.echo()
    for note in (*_NOTES, *([_NOTE_OF_LINES] if kind is RecordKind.documents else [])):
        output.say(note, err=False)


def _as_json(field: Field) -> dict[str, Any]:
    return {
        "field": field.path,
        "type": field.type,
        "role": field.role,
        "in_lines": field.in_lines,
        "example": field.example,
        "meaning": field.meaning,
    }
