"""Reports in the terms of the command line: options where the library has arguments. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from ..nightly.report import Part, Reason, ReportSchema
from .wording import in_options

__all__ = ["reasons_in_options", "report_in_options"]


def report_in_options(schema: ReportSchema) -> ReportSchema:
    """Returns a report in the terms of the command line.

    Args:
        schema: the report.

    Returns:
        The same report, with other texts.
    """
    error = in_options(schema.error) if schema.error is not None else None
    return replace(schema, error=error, parts=[_part(part) for part in schema.parts])


def _part(part: Part) -> Part:
    shortfall = in_options(part.shortfall) if part.shortfall is not None else None
    return replace(part, shortfall=shortfall, reasons=reasons_in_options(part.reasons))


def reasons_in_options(reasons: list[Reason]) -> list[Reason]:
    """Returns groups of failures in the terms of the command line.

    Args:
        reasons: the groups. Their messages are those of this library.

    Returns:
        The same groups, with other texts.
    """
    return [
        replace(
            reason,
            meaning=in_options(reason.meaning),
            remedy=in_options(reason.remedy),
            examples=[replace(one, message=in_options(one.message)) if one.message else one for one in reason.examples],
        )
        for reason in reasons
    ]
