"""Pure: what a text of each role may be. One text at a time is the rule; a screen over many texts at once says that none of them is odd."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from .fields import Field, Role
from .outcome import NOTHING, Outcome, refused
from .words import DASHES, ERROR_WORDS, NULL_WORDS, is_error_word

__all__ = [
    "BLANKS",
    "CONTROL_CHARACTERS",
    "SEPARATOR",
    "SHORTENED",
    "TextRules",
    "separate_items",
    "value_fault",
    "without_marks",
    "word_fault",
]

SEPARATOR: Final = "|"
"""Between the values of a list in one cell."""

BLANKS: Final = " \t\r\n\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""What is no part of a value where it stands around it."""

_CODES: Final[frozenset[Role]] = frozenset(("identifier", "reference", "code", "country", "currency", "language"))
"""Roles of texts that programs compare."""

_NEVER_NULL: Final = _CODES | {"address", "email"}
"""Roles of texts that are never a word for nothing."""

_NEVER_DASHES: Final[frozenset[Role]] = frozenset(("identifier", "country", "currency", "language", "email"))
"""Roles of texts that are never a dash. People write one where a form wants a reference."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# What UTF-8 looks like where it was read as Windows-1252 or Latin-1: two bytes for a letter such as those of Norwegian. The last three: the
# sign that replaces what could not be read; letters that were read as those of DOS, and of Mac Roman.
_WRONGLY_DECODED: Final = re.compile(
    "\ufffd|\u00c3[\u00a0-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201e\u2020-\u2022\u2026\u2030"
    "\u2039\u203a\u20ac\u2122]|\u00c2[\u00a0-\u00bf]|\u00e2\u20ac[\u0153\u02dc\u2122\u00a2\u00a6\u201c\u201d]"
    "|\u00ef\u00bf\u00bd|\u251c\\S|\u221a[\u220f\u2022\u00b6\u00f2\u00d6\u00dc\u00a9\u00a7\u2202\u00ba\u00d1\u00f1]"
)
_MARK: Final = "\ufeff"
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufffe\uffff]"
)
_ODD_BLANKS: Final = re.compile(r"[^\S ]")
_FLOAT: Final = re.compile(r"[+-]?[0-9]+[.,]0+", re.ASCII)
SHORTENED: Final = re.compile(r"[+-]?(?:[0-9]+[.,][0-9]+[eE][+-]?[0-9]+|[0-9]+[eE]\+[0-9]+)", re.ASCII)
_TEXT_MARK: Final = re.compile(r"'[0-9+].*|b'.*'|b\".*\"")

CONTROL_CHARACTERS: Final = "a text with control characters: they are invisible; remove them"
_IS_CONTROL: Final = refused("control_characters", CONTROL_CHARACTERS)
_IS_NO_TEXT: Final = refused("not_encodable", "a text with half of a character (a lone surrogate): write it again")
_IS_WRONGLY_DECODED: Final = refused("wrongly_decoded", "a text that a tool has read in a wrong encoding: export it again, as UTF-8")
_IS_INVISIBLE: Final = refused("invisible_characters", "a text with invisible characters or unusual spaces: type it again")
_IS_ERROR: Final = refused("error_word", "what a spreadsheet shows where a formula failed: correct the formula, or leave the cell blank")
_IS_NULL: Final = refused("null_word", "a word that tools write for a missing value: leave the cell blank where there is no value")
_IS_FORMULA: Final = refused("formula", "a formula of a spreadsheet: save the value instead")
_IS_MARKED: Final = refused("formula", "a mark that a tool set before a number to keep it as text: write the value alone")
_IS_SHORTENED: Final = refused("shortened_number", "a spreadsheet has shortened this number: format the column as text, and write it again")
_IS_FLOAT: Final = refused("number_as_identifier", "a tool has made a number with decimals of it: write the column as text")
_ARE_SEVERAL: Final = refused("several_addresses", f'several addresses in one: put a "{SEPARATOR}" between them')

_POSSIBLE_NULL: Final = ("possible_null_word", "a word that tools write for a missing value; it is sent as it stands")

_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = b"0123456789"
# The first bytes, in UTF-8, of the letters of Western Europe, and all further bytes. Invisible characters begin with others.
_WESTERN: Final = bytes((*range(0xC3, 0xCA), *range(0x80, 0xC0)))
_PLAIN_CODE: Final = _LETTERS + _DIGITS + b" +-./_,:*@&()" + _WESTERN
_PLAIN: Final[dict[Role, bytes]] = {
    **dict.fromkeys(_CODES, _PLAIN_CODE),
    "address": _LETTERS + _DIGITS + b" +-./_,:*&()'`\"" + _WESTERN,
    "email": _LETTERS + _DIGITS + b"+-._@" + _WESTERN,
    "name": _LETTERS + _DIGITS + b" +-./_,:;*@&()'`\"!?%|" + _WESTERN,
    "free_text": bytes((*range(0x20, 0x23), *range(0x24, 0x3D), *range(0x3E, 0x7F), 9, 10, 13)) + _WESTERN,
}
"""Bytes of UTF-8 of which nothing odd is made but words, numbers and blanks."""

_DIGIT_SHAPES: Final = bytes.maketrans(b"123456789,e", b"000000000.E")
_NOT_BETWEEN: Final = bytes(set(range(1, 256)) - set(b"@"))
_ENDS: Final = tuple(bytes(pair) for sign in b" \t\r\n" for pair in ((sign, 0), (0, sign)))
_WRITTEN_IN_PARTS: Final = frozenset(
    ("phoneNo", "secondaryPhoneNo", "organizationNo", "parentOrganizationNo", "peppolEndpointId", "ssn", "bankAccountNo")
)
_NO_ABBREVIATIONS: Final = frozenset(("NA", "Na", "na"))


class TextRules:
    """What the texts of a field may be.

    Args:
        field: for which they are.
        clear: a text that clears the field; None for no such text.
        strip: whether blanks around a text are no part of it.

    Attributes:
        strips: whether blanks around a text are no part of it.
    """

    def __init__(self, field: Field, clear: str | None = None, *, strip: bool = True) -> None:
        role = field.role
        self._role = role
        self._clear = clear
        self.strips = strip or role in _CODES or role == "email"
        self._control = _CONTROL_BUT_LINES if role == "free_text" else _CONTROL
        self._is_code = role in _CODES
        self._has_no_formula = role != "free_text"
        # 62.0 is a group of NACE.
        self._has_no_float = (self._is_code and field.names[-1] != "naceCodes") or role == "address"
        self._has_no_shortened = self._is_code or role == "address"
        # NA is Namibia, and na is Nauruan.
        self._null_words = NULL_WORDS - _NO_ABBREVIATIONS if role in {"country", "language"} else NULL_WORDS
        self._has_odd_blanks = field.names[-1] in _WRITTEN_IN_PARTS
        self._plain = _PLAIN[role].replace(b"|", b"") if field.type == "texts" else _PLAIN[role]
        self._words = self._null_words | ERROR_WORDS | DASHES | ({clear} if clear is not None else set())

    def read(self, cell: str) -> Outcome:
        """Returns what a cell is."""
        text = cell.strip(BLANKS)
        if not text:
            return NOTHING
        if text == self._clear:
            return Outcome("")
        if (fault := self._characters_fault(text) or self._form_fault(text)) is not None:
            return fault
        value = text if self.strips else cell
        if text in self._null_words:
            return _IS_NULL if self._role in _NEVER_NULL else Outcome(value, *_POSSIBLE_NULL)
        if text in DASHES:
            return _IS_NULL if self._role in _NEVER_DASHES else Outcome(value, *_POSSIBLE_NULL)
        return Outcome(value)

    def blanks_fault(self, cell: str) -> Outcome | None:
        """Returns what is wrong with the blanks around a text that is sent with them."""
        return self._characters_fault(cell) if cell.strip(" ") != cell.strip(BLANKS) else None

    def _characters_fault(self, text: str) -> Outcome | None:
        if self._control.search(text):
            return _IS_CONTROL
        if text.isascii():
            return None
        if _SURROGATE.search(text):
            return _IS_NO_TEXT
        if _WRONGLY_DECODED.search(text):
            return _IS_WRONGLY_DECODED
        if _MARK in text:
            return _IS_INVISIBLE
        is_compared = self._is_code or self._role == "email"
        if is_compared and (_INVISIBLE.search(text) or (not self._has_odd_blanks and _ODD_BLANKS.search(text))):
            return _IS_INVISIBLE
        return None

    def _form_fault(self, text: str) -> Outcome | None:
        if is_error_word(text):
            return _IS_ERROR
        if self._has_no_formula and text[0] == "=":
            return _IS_FORMULA
        if self._is_code and _TEXT_MARK.fullmatch(text):
            return _IS_MARKED
        if self._has_no_float and _FLOAT.fullmatch(text):
            return _IS_FLOAT
        if self._has_no_shortened and SHORTENED.fullmatch(text):
            return _IS_SHORTENED
        if self._role == "email" and (text.count("@") > 1 or ("@" in text and ("," in text or ";" in text))):
            return _ARE_SEVERAL
        return None

    def are_plain(self, cells: Sequence[str]) -> bool:
        """Returns whether nothing is odd about any of some cells, none of them blank, so that each is its value; False if unsure."""
        if self._is_code and cells[0].isdigit() and (joined := "".join(cells)).isdigit() and joined.isascii():
            return self._clear not in cells
        joined = "\0".join(cells)
        try:
            text = joined.encode()
        except UnicodeEncodeError:
            return False
        if len(text.translate(None, self._plain)) != len(cells) - 1 or not self._words.isdisjoint(cells):
            return False
        if text[0] in b" \t\r\n" or text[-1] in b" \t\r\n" or b" \0" in text or b"\0 " in text:
            return False
        role = self._role
        if not text.isascii() and (b"\xc3\x83" in text or b"\xc3\x82" in text):
            return False
        if role == "email":
            return b"@@" not in text.translate(None, _NOT_BETWEEN)
        if role == "free_text":
            return not any(end in text for end in _ENDS)
        if self._has_no_shortened:
            shape = text.translate(_DIGIT_SHAPES)
            return b"0.0" not in shape and b"0E+" not in shape
        return True


def word_fault(text: str) -> Outcome | None:
    """Returns what is wrong with a text that a tool writes where there is no value."""
    if text in NULL_WORDS or text in DASHES:
        return _IS_NULL
    return _IS_ERROR if is_error_word(text) else _IS_FORMULA if text.startswith("=") else None


def value_fault(text: str) -> Outcome | None:
    """Returns what is wrong with a text that is no value of its field, where that is more than its form."""
    if (fault := word_fault(text)) is not None:
        return fault
    return _IS_CONTROL if _CONTROL.search(text) else _IS_INVISIBLE if _INVISIBLE.search(text) else None


def without_marks(text: str) -> str:
    """Returns a text without the characters that nobody sees, and without the mark of a spreadsheet before it."""
    return _INVISIBLE.sub("", _CONTROL.sub("", text)).lstrip("'").strip()


def separate_items(cell: str) -> list[str]:
    """Returns the values of a list in one cell."""
    return [item for part in cell.split(SEPARATOR) if (item := part.strip(BLANKS))]
