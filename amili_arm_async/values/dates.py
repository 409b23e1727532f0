"""Pure: days as people and tools write them."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from .outcome import Outcome, refused

__all__ = ["YEARS", "YEARS_OF_BIRTH", "read_date"]

YEARS: Final = (1900, 2199)
"""Of the dates of documents and of what is to be done."""

YEARS_OF_BIRTH: Final = (1850, 2199)

_TIME: Final = r"[0-9]{1,2}[:.][0-9]{2}(?:[:.][0-9]{2}(?:[.,][0-9]{1,12})?)?"
_ZONE: Final = r" ?(?P<zone>[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2}){0,2})"
_DATE: Final = re.compile(
    r"(?:(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})|(?P<d>[0-9]{1,2})\.(?P<m>[0-9]{1,2})\.(?P<y>[0-9]{4}))"
    rf"(?:[T ]+(?P<time>{_TIME})(?:{_ZONE})?)?",
    re.ASCII,
)
_NOT_ZERO: Final = re.compile(r"[1-9]")
_SERIAL: Final = re.compile(r"[0-9]{5}(?:[.,][0-9]+)?", re.ASCII)
_SHORT_YEAR: Final = re.compile(r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2}", re.ASCII)
_SLASHES: Final = re.compile(r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{1,4}(?:[T ].*)?", re.ASCII)
_FORMS: Final = "write YYYY-MM-DD or DD.MM.YYYY"


def read_date(text: str, years: tuple[int, int] = YEARS) -> Outcome:
    """Returns a day, in its ISO form, of a text.

    Args:
        text: without blanks around it.
        years: the first and the last that are right.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return _no_date(text)
    year, month, day = (found["year"], found["month"], found["day"]) if found["year"] else (found["y"], found["m"], found["d"])
    try:
        iso = date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return refused("date", "there is no such day")
    if found["time"] and (fault := _time_fault(found["time"], found["zone"])) is not None:
        return fault
    if not years[0] <= int(year) <= years[1]:
        return refused("out_of_range", f"a date outside the years {years[0]} to {years[1]}")
    return Outcome(iso)


def _time_fault(time: str, zone: str | None) -> Outcome | None:
    if zone is not None and not _NOT_ZERO.search(zone):
        return refused("instant", "a moment in UTC, which may be another day here: give the day alone, in local time")
    if _NOT_ZERO.search(time):
        if zone is not None:
            return refused("instant", "a moment, and not a day: give the day alone, in local time")
        return refused("time_of_day", "a date with a time of day: give the day alone")
    return None


def _no_date(text: str) -> Outcome:
    if _SERIAL.fullmatch(text):
        return refused("date", f"not a date, but the number by which a spreadsheet counts days: format the column as date, or {_FORMS}")
    if _SHORT_YEAR.fullmatch(text):
        return refused("date", f"not a date: its year has two digits; {_FORMS}")
    if _SLASHES.fullmatch(text):
        return refused("date", f"not a date: it may not be clear which is the day and which the month; {_FORMS}")
    return refused("date", f"not a date: {_FORMS}")
