"""Pure: what a text must look like in a field of its kind: days, codes, addresses, numbers with check digits; whole columns at a time.

A blank is right everywhere: the pages say that it clears a field. These rules are for a check: a run sends what breaks them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import compress
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgspec

from .check_digits import bad_kids, bad_organization_numbers
from .fields import Field
from .findings import CellFault

__all__ = ["format_faults", "has_format", "is_date", "organization_faults"]

_ISO_4217: Final = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
    CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ
    GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL
    LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN
    PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD
    TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT
    XSU XUA YER ZAR ZMW ZWG ZWL
"""

_CURRENCIES: Final = frozenset(_ISO_4217.split())
"""Alphabetic codes of ISO 4217."""

_ISO_3166: Final = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
    CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD
    GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW
    MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC
    SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY
    UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""

_COUNTRIES: Final = frozenset(_ISO_3166.split())
"""Alpha-2 codes of ISO 3166-1."""

_Rule: TypeAlias = Callable[[Sequence[Any]], Mapping[int, tuple[str, str]]]
"""Takes a column of texts, with what is not true where there is none, and returns code and message by row."""

_Fault: TypeAlias = tuple[str, str]

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What a `++` repeats is atomic: see sources/json_tokens.py.
# Plausible, no more: something, one @, a host with a dot. Whether it is an address is known when a letter has arrived there.
_ADDRESS: Final = r"[^\s@,;<>\x00-\x1f]{1,64}+@[^\s@,;<>.\x00-\x1f]++(?:(?>\.[^\s@,;<>.\x00-\x1f]++))++"
_EMAIL: Final = re.compile(_ADDRESS)
_EMAILS: Final = re.compile(rf"(?:(?>{_ADDRESS}\n))*+")
_LONGEST_NAME: Final = 64
_BETWEEN_SIGNS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+-_"
_IN_ADDRESSES: Final = _BETWEEN_SIGNS + b"@."
_ARE_SIGNS: Final = bytes(chr(code) in "@.\n" for code in range(256))
_KID: Final = re.compile(r"[0-9]{1,24}[0-9-]")
_ORGANIZATION: Final = re.compile(r"[0-9]{9}")
_LONGEST_KID: Final = 25
_NINE: Final = 9
"""Digits of an organisation number."""

_NO_DATE: Final = ("date", "not a date that exists, as YYYY-MM-DD")
_NO_CURRENCY: Final = ("currency", "not a currency code of ISO 4217")
_NO_COUNTRY: Final = ("country", "not a country code of ISO 3166 (two letters)")
_NO_LANGUAGE: Final = ("language", "not two letters")
_NO_EMAIL: Final = ("email", "not plausible as an e-mail address")
_NO_KID: Final = ("kid", f"not a KID: 2 to {_LONGEST_KID} digits, the last of which may be a hyphen")
_WRONG_KID: Final = ("kid_check_digit", "the last digit is right neither by modulus 10 nor by modulus 11")
_NO_ORGANIZATION: Final = ("organization_no", "not the nine digits of a Norwegian organisation number")
_WRONG_ORGANIZATION: Final = ("organization_no", "the last digit is not that of a Norwegian organisation number")


@lru_cache(4096)
def is_date(text: str) -> bool:
    """Returns whether a text is YYYY-MM-DD and there is such a day, or blank."""
    if not text:
        return True
    if _DATE.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_language(text: str) -> bool:
    return len(text) == 2 and text.isascii() and text.isalpha()


def _by_value(is_right: Callable[[str], bool], fault: _Fault) -> _Rule:
    """A rule for a column with few different values."""

    def faults(column: Sequence[Any]) -> dict[int, _Fault]:
        wrong = {text for text in set(column) if text and not is_right(text)}
        return {row: fault for row, text in enumerate(column) if text in wrong} if wrong else {}

    return faults


def _email_faults(column: Sequence[Any]) -> dict[int, _Fault]:
    given = list(filter(None, column))
    if not given or _are_usual_addresses(given) or _EMAILS.fullmatch("\n".join(given) + "\n"):
        return {}
    return {row: _NO_EMAIL for row, text in enumerate(column) if text and _EMAIL.fullmatch(text) is None}


def _are_usual_addresses(given: Sequence[str]) -> bool:
    """Whether texts are plausible addresses of letters and digits; quicker than the pattern, and False where it is not certain."""
    text = "\n{}\n".format("\n".join(given)).encode("ascii", "replace")
    if len(text.translate(None, _IN_ADDRESSES)) != len(given) + 1 or max(map(len, given)) > _LONGEST_NAME:
        return False
    # A bit for each sign: where none is beside another, there is something before and behind each.
    signs = int.from_bytes(text.translate(_ARE_SIGNS), "little")
    return not signs & signs >> 8 and all(map(_has_host, set(text[1:-1].translate(None, _BETWEEN_SIGNS).split(b"\n"))))


@lru_cache(256)
def _has_host(signs: bytes) -> bool:
    """Whether there is one @ among the signs of an address, and a dot behind it."""
    return signs.count(b"@") == 1 and signs.endswith(b".")


def _kid_faults(column: Sequence[Any]) -> dict[int, _Fault]:
    rows, kids = _given(column)
    joined = "".join(kids)
    if joined.isdigit() and joined.isascii() and min(map(len, kids)) >= 2 and max(map(len, kids)) <= _LONGEST_KID:
        return {rows[place]: _WRONG_KID for place in bad_kids(kids)}
    are_kids = [_KID.fullmatch(kid) is not None for kid in kids]
    faults: dict[int, _Fault] = {rows[place]: _NO_KID for place, is_kid in enumerate(are_kids) if not is_kid}
    rows, kids = list(compress(rows, are_kids)), list(compress(kids, are_kids))
    return faults | {rows[place]: _WRONG_KID for place in bad_kids(kids)}


def _given(column: Sequence[Any]) -> tuple[Sequence[int], Sequence[str]]:
    """The texts that are not blank, with their rows."""
    if all(column):
        return range(len(column)), column
    return [row for row, text in enumerate(column) if text], list(filter(None, column))


# "Data values are not case-sensitive" (https://docs.amili.dev/about-355476m0).
_country_faults: Final = _by_value(lambda text: text.upper() in _COUNTRIES, _NO_COUNTRY)
_faults_of_days: Final = _by_value(is_date, _NO_DATE)


def _date_faults(column: Sequence[Any]) -> Mapping[int, _Fault]:
    given = list(filter(None, column))
    try:
        msgspec.convert(given, list[date])
    except (msgspec.ValidationError, UnicodeEncodeError):
        return _faults_of_days(column)
    return {} if {*map(len, given)} <= {10} else _faults_of_days(column)


_RULES: Final[Mapping[str, _Rule]] = MappingProxyType(
    {
        "countryCode": _country_faults,
        "currency": _by_value(lambda text: text.upper() in _CURRENCIES, _NO_CURRENCY),
        "emailAddress": _email_faults,
        "emailAddressDocument": _email_faults,
        "kid": _kid_faults,
        "language": _by_value(_is_language, _NO_LANGUAGE),
        "secondaryEmailAddress": _email_faults,
        "ssnCountry": _country_faults,
    }
)


def has_format(field: Field) -> bool:
    """Returns whether there is a rule for the form of a field."""
    return field.type == "date" or field.names[-1] in _RULES


def format_faults(field: Field, column: Sequence[Any]) -> Iterator[tuple[int, CellFault]]:
    """Gives the values of a column that don't have the form of their field, with their rows.

    Args:
        field: what the column holds.
        column: texts, or lists of texts, or a text for a list of one; whatever is not true where there is no value.
    """
    rule = _date_faults if field.type == "date" else _RULES[field.names[-1]]
    if field.type == "texts" and list in set(map(type, column)):
        yield from _faults_in_lists(field, rule, [[items] if isinstance(items, str) else items for items in column])
        return
    path = f"{field.path}[0]" if field.type == "texts" else field.path
    for row, (code, message) in rule(column).items():
        yield row, CellFault(code, path, message)


def _faults_in_lists(field: Field, rule: _Rule, lists: Sequence[Any]) -> Iterator[tuple[int, CellFault]]:
    faults = rule([text for items in lists if items for text in items])
    rows = [row for row, items in enumerate(lists) if items for _ in items] if faults else []
    for place, (code, message) in faults.items():
        row = rows[place]
        yield row, CellFault(code, f"{field.path}[{place - rows.index(row)}]", message)


def organization_faults(
    path: str, numbers: Sequence[Any], schemes: Sequence[Any], countries: Sequence[Any]
) -> Iterator[tuple[int, CellFault]]:
    """Gives the organisation numbers that are wrong where they should be Norwegian: where neither scheme nor country speak against that.

    Args:
        path: of the field.
        numbers: one for each row; whatever is not true where there is none.
        schemes: of the numbers.
        countries: of the customers.
    """
    every = list(filter(None, numbers))
    joined = "".join(every)
    if joined.isascii() and joined.isdigit() and {*map(len, every)} == {_NINE} and not bad_organization_numbers(every):
        return
    given = [
        row
        for row, (number, scheme, country) in enumerate(zip(numbers, schemes, countries, strict=True))
        if number and (not scheme or scheme == "0192") and (not country or country.upper() == "NO")
    ]
    shaped = [row for row in given if _ORGANIZATION.fullmatch(numbers[row])]
    if len(shaped) < len(given):
        # Without a scheme, and not of nine digits, it is a number of something else.
        for row in set(given).difference(shaped):
            if schemes[row]:
                yield row, CellFault(*_at(path, _NO_ORGANIZATION))
    for place in bad_organization_numbers([numbers[row] for row in shaped]):
        yield shaped[place], CellFault(*_at(path, _WRONG_ORGANIZATION))


def _at(path: str, fault: _Fault) -> tuple[str, str, str]:
    return fault[0], path, fault[1]
