"""Pure: numbers whose length is known, so that zeros that a tool dropped are seen: those of a country, which other fields tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from .outcome import Outcome, refused

__all__ = ["FORMS", "Form", "Neighbours"]


class Neighbours(NamedTuple):
    """What other fields of a row say about a number.

    Attributes:
        country: in capitals; blank where none is told.
        scheme: of the number; blank where none is told.
    """

    country: str = ""
    scheme: str = ""


class Form(NamedTuple):
    """The form of a number.

    Attributes:
        country_paths: of the fields that tell its country, the surest first.
        scheme_path: of the field that tells its scheme.
        is_usual: whether a text needs no further look, unless its country is one of `elsewhere`.
        usual_length: the number of digits of such a text; there may be others.
        read: what a text is beside its neighbours.
        elsewhere: countries in which every text needs a further look.
    """

    country_paths: Sequence[str]
    scheme_path: str | None
    is_usual: Callable[[str], bool]
    usual_length: int
    read: Callable[[str, Neighbours], Outcome]
    elsewhere: frozenset[str] = frozenset()


_NORWAY: Final = frozenset(("NO", "NOR", "NORWAY", "NORGE", "NOREG", "SJ"))
_POSTAL_LENGTHS: Final[Mapping[str, int]] = MappingProxyType(
    {
        **dict.fromkeys(_NORWAY, 4),
        **dict.fromkeys(("DK", "DNK", "DENMARK", "DANMARK"), 4),
        **dict.fromkeys(("FI", "FIN", "FINLAND", "SUOMI"), 5),
    }
    | {**dict.fromkeys(("DE", "DEU", "GERMANY", "TYSKLAND", "DEUTSCHLAND"), 5), **dict.fromkeys(("FR", "ES", "IT", "US", "EE"), 5)}
)
"""Digits of a postal code in countries where some begin with a zero."""

_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_ORGANIZATION: Final = re.compile(r"(?:NOR?[\s:-]*)?([0-9]{3})[\s.]?([0-9]{3})[\s.]?([0-9]{3})(?:[\s-]*MVA)?", re.IGNORECASE)
_SSN: Final = re.compile(r"([0-9]{6})[\s-]?([0-9]{5})", re.ASCII)


def _lost_zeros(text: str, country: str, what: str) -> Outcome:
    if country:
        return refused("lost_zeros", f"{what}: a tool has dropped the zeros in front; write the column as text")
    return Outcome(text, "possible_lost_zeros", f"{what} where it is Norwegian: a tool may have dropped zeros in front")


def _read_postal_code(text: str, beside: Neighbours) -> Outcome:
    length = _POSTAL_LENGTHS.get(beside.country, 0 if beside.country else 4)
    if len(text) >= length or not _DIGITS.fullmatch(text):
        return Outcome(text)
    return _lost_zeros(text, beside.country, f"fewer than the {length} digits of a postal code")


def _is_norwegian(beside: Neighbours) -> bool:
    return not beside.country or beside.country in _NORWAY


def _read_organization_no(text: str, beside: Neighbours) -> Outcome:
    if beside.scheme not in {"", "0192"} or not (_is_norwegian(beside) or beside.scheme):
        return Outcome(text)
    if found := _ORGANIZATION.fullmatch(text):
        return Outcome("".join(found.groups()))
    if len(text) == 8 and _DIGITS.fullmatch(text):
        return _lost_zeros(text, beside.scheme or beside.country, "fewer than the nine digits of an organisation number")
    return Outcome(text)


def _read_ssn(text: str, beside: Neighbours) -> Outcome:
    if not _is_norwegian(beside):
        return Outcome(text)
    if found := _SSN.fullmatch(text):
        return Outcome("".join(found.groups()))
    if len(text) == 10 and _DIGITS.fullmatch(text):
        return _lost_zeros(text, beside.country, "fewer than the eleven digits of a national identity number")
    return Outcome(text)


def _read_bank_account_no(text: str, beside: Neighbours) -> Outcome:
    if len(text) == 10 and _DIGITS.fullmatch(text) and _is_norwegian(beside):
        return _lost_zeros(text, beside.country, "fewer than the eleven digits of a bank account number")
    return Outcome(text)


def _read_scheme(text: str, beside: Neighbours) -> Outcome:
    if len(text) < 4 and _DIGITS.fullmatch(text):
        return _lost_zeros(text, "always", "fewer than the four digits of a scheme such as 0192")
    return Outcome(text)


def _of_length(length: int) -> Callable[[str], bool]:
    return lambda text: len(text) == length and text.isascii() and text.isdigit()


def _is_no_short_number(text: str) -> bool:
    return len(text) > 3 or not (text.isascii() and text.isdigit())


_FIVE: Final = frozenset(country for country, length in _POSTAL_LENGTHS.items() if length > 4)
_ADDRESS: Final = ("postalAddress.countryCode", "postalAddress.countryText")
_ALWAYS_FOUR: Final = Form((), None, _is_no_short_number, 4, _read_scheme)

FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "postalAddress.postalCode": Form(_ADDRESS, None, _is_no_short_number, 4, _read_postal_code, _FIVE),
        "organizationNo": Form(_ADDRESS, "organizationNoScheme", _of_length(9), 9, _read_organization_no),
        "parentOrganizationNo": Form(_ADDRESS, None, _of_length(9), 9, _read_organization_no),
        "distribution.peppolEndpointId": Form(_ADDRESS, "distribution.peppolEndpointIdScheme", _of_length(9), 9, _read_organization_no),
        "ssn": Form(("ssnCountry",), None, _of_length(11), 11, _read_ssn),
        "bankAccountNo": Form(_ADDRESS, None, lambda text: len(text) != 10, 11, _read_bank_account_no),
        "organizationNoScheme": _ALWAYS_FOUR,
        "distribution.peppolEndpointIdScheme": _ALWAYS_FOUR,
    }
)
"""By the path of the field."""
