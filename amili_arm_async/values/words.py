"""Pure: words that tools write where there is no value, or where a formula failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["DASHES", "ERROR_WORDS", "NULL_WORDS", "is_error_word"]


def _spellings(words: Iterable[str]) -> frozenset[str]:
    return frozenset(spelling for word in words for spelling in (word, word.lower(), word.upper(), word.capitalize()))


_NULLS: Final = r"""
    null (null) [null] <null> {null} #null \n \\n nil <nil> none (none) <none> undefined dbnull system.dbnull
    nan NaN -nan na <na> n/a n.a. nat NaT pd.na pd.nat (blank) (blanks) (empty) <empty> (tom) (tomt)
"""

NULL_WORDS: Final = _spellings(_NULLS.split()) | frozenset(
    ("[object Object]", "pd.NA", "pd.NaT", "DBNull", "System.DBNull", "-NaN", "-nan(ind)", "nan(ind)", "1.#QNAN", "1.#IND", "-1.#IND")
)
"""What databases, spreadsheets and programs write for nothing."""

DASHES: Final = frozenset(("-", "--", "---", "\u2013", "\u2014", "\u2212", ".", "..", "...", "?", "??", "???", "_", "*"))
"""What people write for nothing."""

_ERRORS: Final = """
    #N/A #REF! #NAME? #VALUE! #DIV/0! #NUM! #NULL! #SPILL! #CALC! #GETTING_DATA #FIELD! #BLOCKED! #UNKNOWN! #CONNECT! #BUSY! #EXTERNAL!
    #PYTHON! #TIMEOUT! #ERROR! #ERROR #DATA! #CIRCULAR! #SYNTAX! #NA #MACRO!
    #I/T #NAVN? #VERDI! #OVERFLYT! #BEREGN! #HENTER_DATA #FELT! #BLOKKERT! #UKJENT! #TOM! #KOBLE! #TALL!
    #SAKNAS! #REFERENS! #NAMN? #V\u00c4RDEFEL! #DIVISION/0! #OGILTIGT! #SK\u00c4RNING! #UTSPILL! #SPILL!
    #REFERENCE! #V\u00c6RDI! #NUL! #OVERL\u00d8B! #BEREGNING! #IKKE_TILG\u00c6NGELIG
    #NV #BEZUG! #WERT! #ZAHL! #\u00dcBERLAUF! #KALK! #FELD!
    #PUUTTUU! #PUUTTUU #VIITTAUS! #NIMI? #ARVO! #JAKO/0! #LUKU! #TYHJ\u00c4! #LEVI\u00c4\u00c4! #LASKENTA!
    #N/B #VERW! #NAAM? #WAARDE! #DEEL/0! #GETAL! #LEEG! #OVERLOOP!
    #NOM? #VALEUR! #NOMBRE! #EPARS! #N/D #\u00a1REF! #\u00bfNOMBRE? #\u00a1VALOR! #\u00a1DIV/0! #\u00a1NUM! #\u00a1NULO!
    #RIF! #NOME? #VALORE!
    #VALOR! #N\u00daM! #NULO! #ADR! #NAZWA? #ARG! #DZIEL/0! #LICZBA! #ZERO! #N/DD #PERDAVIMAS!
"""

_CODES: Final = [f"Err:{number}" for number in range(500, 541)]
_TOO_NARROW: Final = ["#" * count for count in range(2, 256)]

ERROR_WORDS: Final = frozenset([*_ERRORS.split(), *_ERRORS.lower().split(), *_CODES, *_TOO_NARROW])
"""What spreadsheets show where a formula failed, in the languages that people here use, and where a column is too narrow."""


def is_error_word(text: str) -> bool:
    """Returns whether a spreadsheet shows this text where a formula failed."""
    return text.startswith(("#", "Err:")) and text in ERROR_WORDS
