"""Pure: whether bytes that are no UTF-8 are surely Windows-1252, by where the characters stand that they would be.

Texts in other encodings (cp850, cp865, cp437, Mac Roman, ISO-8859-15, cp1250, cp1251 ...) can be decoded as Windows-1252 too. Their letters
become signs within words (`Troms›` for Tromsø), capitals within words, or whole words of accented letters: nobody writes these.
"""

# ruff: noqa: RUF001, RUF002 - these characters are what it is about

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

__all__ = ["Evidence", "evidence_of", "is_plain", "likely_encoding"]

Evidence: TypeAlias = Literal["for", "against", "none"]
"""What the characters of a text say: it surely is Windows-1252, surely not, or it may be something else as well."""

_PLAIN: Final = bytes(range(128)) + "æøåÆØÅäöüÄÖÜéÉ".encode("cp1252")

_GROUPS: Final = re.compile(rb"(?<=[0-9])\xa0(?=[0-9])")

_LOWER: Final = "a-zß-öø-ÿšžœ"
_UPPER: Final = "A-ZÀ-ÖØ-ÞŠŽŒŸ"
_LETTER: Final = _LOWER + _UPPER
_BEGIN: Final = rf"(?<![{_LETTER}])"
_END: Final = rf"(?![{_LETTER}])"

_AGAINST: Final = re.compile(
    "|".join(
        [
            # Signs within words, which are letters elsewhere. (Apostrophes, dashes, an ellipsis and a no-break space do occur there.)
            rf"[{_LETTER}][^\x00-\x7f\xa0\xad{_LETTER}´’–—…][{_LETTER}]",
            # At the end of a word, where they close nothing: ø, å, é and ä of cp865; ø, æ, å, é of Mac Roman; š and Ž of ISO-8859-15.
            rf"[{_LETTER}][‘‚„†‡ˆ‰‹˜ƒ¡¢¤¥¦¨¬¯¸¹¶¾¿«]",
            # At the beginning of one.
            rf"[†‡ˆ‰›˜™ƒ€®¯¤¦¨ª¬¸¹¶¾»][{_LETTER}]",
            # A capital that is no Norwegian one behind a small letter, or within a small word.
            rf"[{_LOWER}][À-ÄÇ-×Ù-ÞŠŽŒŸ]|[{_LETTER}][À-ÄÇ-×Ù-ÞŠŽŒŸ][{_LOWER}]",
            # A small letter at the beginning of, or within, a word of capitals: Ü of cp865.
            rf"{_BEGIN}[šž][{_LOWER}]|[{_UPPER}][šžœÿ][{_UPPER}]{{2}}",
            # French has these only so.
            r"œ(?!u)|Œ(?![uU])|Ÿ",
            # Euro of ISO-8859-15; dashes and quotation marks of Mac Roman; degrees and powers of cp850.
            rf"¤|{_BEGIN}[ÐÑÒÓÔÕÝÞ]{_END}|\b[cdk]?m[üýÿ]{_END}|[0-9] ?ø(?:C{_END}|{_END})",
            # Of three accented letters in a row, some are no Norwegian ones: Cyrillic, Greek and others.
            r"(?=[À-ÿŠšŽž]{3})(?![æøåÆØÅäöÄÖ]{3})",
            # Endings and pairs of Slavonic names in cp1250.
            rf"iæ{_END}|ø[áéìíý]|[áéìíý]ø",
        ]
    )
)
_UNPAIRED: Final = re.compile(
    # Quotation marks and apostrophes without another one: æ, Æ, ö, ô and é of cp865.
    rf"^[^“”„\"«]*[{_LETTER}][”“]|[“”„][{_LETTER}](?!.*[“”\"])|[‘‚][{_LETTER}](?!.*[’‘])|^[^‹]*[{_LETTER}]›"
    rf"|{_BEGIN}’[{_LOWER}]{{3}}(?!.*’)|[{_UPPER}]{{2}}’(?!S{_END})[{_UPPER}]"
)
_PAIRS: Final = re.compile(r"[“”„‘‚’›]")
_CLUSTER: Final = re.compile(r"[^\x00-\x7f](?:[\x00-\x7f]{0,12}[^\x00-\x7f])*")
_BESIDE: Final = 6
"""Characters beside one that is not ASCII which tell whether it stands where it may: half of what parts two clusters of them."""

_FOR: Final = re.compile(
    "|".join(
        [
            # Letters in words of their case. Those that are missing are common signs or letters elsewhere.
            rf"[A-Za-zæøåöÆØÅÖ][æøåäöüéêëàâîñóôòíúûç](?:(?=[{_LOWER}])|{_END}(?![0-9]))",
            rf"(?<![0-9])(?<![0-9] ){_BEGIN}[æøåäöüéê][{_LOWER}]",
            rf"{_BEGIN}[ÆØÅÄÖÜ][A-Za-zæøåöÆØÅÖ]|[{_UPPER}][ÆØÅÄÖÜÉ](?=[{_UPPER}]|{_END})",
            rf"{_BEGIN}[åÅØ]{_END}|(?<= )à(?= )",
            # Signs where they belong.
            rf"[0-9] ?€|[€£] ?[0-9]| – |[0-9]–[0-9]|{_BEGIN}[cdk]?m[²³]|§ ?[0-9]|°[CF]{_END}|[0-9] ?µ[glms]|[0-9] ?× ?[0-9]|[0-9]\xa0[0-9]",
            rf"{_BEGIN}«[^«»]*»{_END}|{_BEGIN}“[^“”]*”{_END}",
            rf"[a-z]’s{_END}|{_BEGIN}[DLO]’[A-Z][a-z]",
        ]
    )
)
_PIECE: Final = 4000
_CANDIDATES: Final = ("cp865", "mac-roman", "cp850", "iso-8859-15", "cp437")
_EXPECTED: Final = frozenset("æøåÆØÅäöüÄÖÜéÉèáóíŠšŽž€")


def is_plain(text: bytes) -> bool:
    """Tells whether of all bytes beyond ASCII each one is a letter in Windows-1252 that is usual in Norway, or a blank in a number."""
    return not (_GROUPS.sub(b"", text) if b"\xa0" in text else text).translate(None, _PLAIN)


def evidence_of(line: bytes) -> Evidence:
    """Returns what the characters of a line say, decoded as Windows-1252."""
    try:
        text = line.decode("cp1252")
    except UnicodeDecodeError:
        return "against"
    near = [text[max(0, found.start() - _BESIDE) : found.end() + _BESIDE] for found in _CLUSTER.finditer(text)]
    if any(map(_AGAINST.search, near)):
        return "against"
    # What looks for a second quotation mark looks no further than this.
    pieces = [text[place : place + _PIECE] for place in range(0, len(text), _PIECE)]
    if any(_PAIRS.search(piece) and _UNPAIRED.search(piece) for piece in pieces):
        return "against"
    return "for" if any(map(_FOR.search, pieces)) else "none"


def likely_encoding(line: bytes) -> str | None:
    """Returns an encoding in which all that is not ASCII in a line is a letter that Norwegian names have, if there is one."""
    for name in _CANDIDATES:
        try:
            odd = {letter for letter in line.decode(name) if not letter.isascii()}
        except UnicodeDecodeError:
            continue
        if odd <= _EXPECTED:
            return name
    return None
