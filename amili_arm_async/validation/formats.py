"""Pure: what a text must look like in a field of its kind: dates, codes, numbers with check digits, addresses.

A blank is right everywhere: the pages say that it clears a field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import cache, lru_cache
from typing import Final

from ..values.findings import Found

__all__ = [
    "COUNTRIES",
    "CURRENCIES",
    "checks_organizations",
    "format_fault",
    "has_control",
    "is_date",
    "is_email",
    "is_kid",
    "is_language",
    "organization_fault",
]

_CURRENCIES: Final = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE
    CHF CHW CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ
    GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL
    LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN
    PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD
    TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT
    XSU XUA YER ZAR ZMW ZWG ZWL
"""

CURRENCIES: Final = frozenset(_CURRENCIES.split())
"""Alphabetic codes of ISO 4217."""

_COUNTRIES: Final = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
    CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD
    GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW
    MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC
    SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY
    UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""

COUNTRIES: Final = frozenset(_COUNTRIES.split())
"""Alpha-2 codes of ISO 3166-1."""


_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Plausible, no more: something, one @, a host with a dot. Whether it is an address is known when a letter has arrived there.
_EMAIL: Final = re.compile(r"[^\s@,;<>\x00-\x1f]{1,64}@[^\s@,;<>.\x00-\x1f]+(?:\.[^\s@,;<>.\x00-\x1f]+)+")
_KID: Final = re.compile(r"[0-9]{1,24}[0-9-]")
_ORGANIZATION: Final = re.compile(r"[0-9]{9}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_FREE_TEXTS: Final = frozenset({"customerMessage", "ledgerNote", "lineText"})
_LONGEST_KID: Final = 25
# The digit sum of twice a digit.
_TWICE: Final = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))


@lru_cache(4096)
def is_date(text: str) -> bool:
    """Whether a text is YYYY-MM-DD and there is such a day, or blank."""
    if not text:
        return True
    if _DATE.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_language(text: str) -> bool:
    """Whether a text is two letters, or blank."""
    return not text or (len(text) == 2 and text.isascii() and text.isalpha())


def is_email(text: str) -> bool:
    """Whether a text may be an e-mail address, or is blank."""
    return not text or _EMAIL.fullmatch(text) is not None


def is_kid(text: str) -> bool:
    """Whether a text is a KID whose last digit is right by modulus 10 or 11, or blank."""
    return not text or (_KID.fullmatch(text) is not None and (_by_10(text) or _by_11(text)))


def _by_10(kid: str) -> bool:
    if kid[-1] == "-":
        return False
    digits = kid.encode()
    single = digits[::-2]
    return (sum(single) - 48 * len(single) + sum(digits[-2::-2].translate(_TWICE))) % 10 == 0


def _by_11(kid: str) -> bool:
    # The weights are 2 to 7, from the right, again and again; a remainder of ten is written as a hyphen.
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(kid[:-1])))
    return "0123456789-"[-total % 11] == kid[-1]


def _kid_fault(text: str, path: str) -> Found | None:
    if _KID.fullmatch(text) is None:
        return Found("kid", path, f"not a KID: 2 to {_LONGEST_KID} digits, the last of which may be a hyphen")
    if not is_kid(text):
        return Found("kid_check_digit", path, "the last digit is right neither by modulus 10 nor by modulus 11")
    return None


@cache
def _checksum() -> Callable[[str], int] | None:
    """The checksum of an organisation number, of python-stdnum where it is installed (extra: numbers)."""
    try:
        from stdnum.no.orgnr import checksum  # noqa: PLC0415 - only those who check need it
    except ImportError:
        return None
    made: Callable[[str], int] = checksum
    return made


def checks_organizations() -> bool:
    """Whether organisation numbers can be checked here."""
    return _checksum() is not None


def organization_fault(number: str, scheme: object, country: object) -> str | None:
    """What is wrong with an organisation number, where it should be Norwegian: that is what neither scheme nor country speak against."""
    if not number or (scheme and scheme != "0192") or (country and str(country).upper() != "NO"):
        return None
    if _ORGANIZATION.fullmatch(number) is None:
        # Without a scheme, and not of nine digits, it is a number of something else.
        return "not the nine digits of a Norwegian organisation number" if scheme else None
    checksum = _checksum()
    return "the last digit is not that of a Norwegian organisation number" if checksum is not None and checksum(number) else None


def _currency_fault(text: str, path: str) -> Found | None:
    # "Data values are not case-sensitive" (https://docs.amili.dev/about-355476m0).
    return None if text.upper() in CURRENCIES else Found("currency", path, "not a currency code of ISO 4217")


def _country_fault(text: str, path: str) -> Found | None:
    return None if text.upper() in COUNTRIES else Found("country", path, "not a country code of ISO 3166 (two letters)")


def _language_fault(text: str, path: str) -> Found | None:
    return None if is_language(text) else Found("language", path, "not two letters")


def _email_fault(text: str, path: str) -> Found | None:
    return None if is_email(text) else Found("email", path, "not plausible as an e-mail address")


_FORMATS: Final[dict[str, Callable[[str, str], Found | None]]] = {
    "countryCode": _country_fault,
    "currency": _currency_fault,
    "emailAddress": _email_fault,
    "emailAddressDocument": _email_fault,
    "kid": _kid_fault,
    "language": _language_fault,
    "secondaryEmailAddress": _email_fault,
    "ssnCountry": _country_fault,
}


def format_fault(name: str, text: str, path: str) -> Found | None:
    """What is wrong with a text in the field `name`."""
    check = _FORMATS.get(name)
    return check(text, path) if text and check is not None else None


def has_control(name: str, text: str) -> bool:
    """Whether a text holds control characters; tabs and line ends are right in what is written for people."""
    return (_CONTROL_BUT_LINES if name in _FREE_TEXTS else _CONTROL).search(text) is not None
