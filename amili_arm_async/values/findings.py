"""Pure: the code of each kind of fault, and how bad it is: one table for what a run refuses and for what a check finds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = ["SEVERITIES", "WHOLE", "CellFault", "Severity"]

WHOLE: Final = "$"
"""The path of a fault of a whole record or row."""

Severity: TypeAlias = Literal["error", "warning"]

_ERRORS: Final = (
    "boolean", "broken_neighbour", "control_characters", "country", "currency", "date", "duplicate", "duplicate_field", "error_word",
    "formula", "instant", "invisible_characters", "kid", "lost_zeros", "misnamed_field", "missing", "no_document", "no_lines",
    "no_record", "not_encodable", "not_finite", "not_json", "not_object", "not_readable", "not_together", "not_utf8", "null_word",
    "number", "number_as_identifier", "out_of_range", "repeated_column", "rows_differ", "several_addresses", "shortened_number",
    "source_error", "time_of_day", "too_large", "two_meanings", "unknown_customer", "wrong_type", "wrongly_decoded",
)  # fmt: skip
_WARNINGS: Final = (
    "amounts", "due_before_date", "email", "kid_check_digit", "language", "lines", "no_document_no", "odd_key", "organization_no",
    "possible_lost_zeros", "possible_null_word", "unknown_field",
)  # fmt: skip

SEVERITIES: Final[Mapping[str, Severity]] = MappingProxyType({**dict.fromkeys(_ERRORS, "error"), **dict.fromkeys(_WARNINGS, "warning")})
"""The code of each fault, and how bad it is. A record with an error is not sent from a file or a table; one with a warning is."""


class CellFault(NamedTuple):
    """What is wrong with a cell.

    Attributes:
        code: what kind of fault, for a program; one of `findings.SEVERITIES`.
        path: of the field, `postalAddress.postalCode`.
        message: what is wrong and what to do, for a person; without the value.
    """

    code: str
    path: str
    message: str
