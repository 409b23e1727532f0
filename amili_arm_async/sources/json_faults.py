"""Pure: what is wrong with a text that should be one JSON object, with the remedy; never a value of it."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from .json_tokens import OBJECT, STRING

__all__ = ["NOT_UTF_8", "fault_of"]

NOT_UTF_8: Final = "not UTF-8, which JSON is: save it as UTF-8, or say which encoding the file has (encoding=, --encoding)"

_MANY: Final = "several objects on one line: write each on a line of its own (jq -c . does that)"
_COMMA: Final = "a comma behind the object: write [ before the first and ] behind the last one, or leave the comma out"
_NOT_ENDED: Final = "an object that does not end: the line was cut off, or a brace or a quotation mark is missing"
_NO_OBJECT: Final = "not a JSON object"

_STRINGS: Final = re.compile(STRING)
_WRONG: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = (
    (re.compile(rb"'"), "single quotes, as Python prints a dict: write JSON (json.dumps does that)"),
    (re.compile(rb"//|/\*|#"), "a comment, which JSON does not have: remove it"),
    (re.compile(rb",\s*[}\]]"), "a comma behind the last value: remove it"),
    (re.compile(rb"\b(?:NaN|Infinity|nan|inf)\b"), "NaN or Infinity, which JSON does not have: leave the field out, or write null"),
    (re.compile(rb"\b(?:None|True|False|undefined)\b"), "None, True, False or undefined: JSON has null, true and false"),
    (
        re.compile(rb"[:\[,]\s*[-+]?(?:0[0-9]|\.[0-9]|\+)"),
        "a number with a leading zero, a plus sign or no digit before its point: write it as in JSON",
    ),
    (re.compile(rb"[{,]\s*[A-Za-z_]\w*\s*:"), "a name without quotation marks: write it in double ones"),
)
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_PAIR: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")


def fault_of(text: bytes) -> str | None:
    """Returns what is wrong with a text that should be one JSON object; None where it is one.

    Args:
        text: without blanks around it.
    """
    try:
        text.decode()
    except UnicodeDecodeError:
        return NOT_UTF_8
    try:
        msgspec.json.decode(text, type=dict)
    except msgspec.ValidationError:
        return "a list of JSON between lines of objects: give one object on each line, or one list" if text.startswith(b"[") else _NO_OBJECT
    except msgspec.DecodeError as exc:
        return _known(text) or f"{_NO_OBJECT}: {re.sub(r' [(]byte .*', '', str(exc)).replace('JSON is malformed: ', '')}"
    return None


def _known(text: bytes) -> str | None:
    if (whole := re.match(OBJECT, text)) is not None and (rest := text[whole.end() :].lstrip()):
        return _behind(rest)
    if _SURROGATE.search(_PAIR.sub(b"", text)):
        return "half of a character, such as an emoji, that a tool has cut: correct the text"
    strings = _STRINGS.findall(text)
    if any(map(_CONTROL.search, strings)):
        return r"a control character within a text: write it with a backslash (\t)"
    plain = _STRINGS.sub(b'""', text)
    for pattern, fault in _WRONG:
        if pattern.search(plain):
            return fault
    if text.startswith(b"{"):
        return _NOT_ENDED if whole is None else None
    return _NO_OBJECT if re.match(rb"[\w\"-]", text) else None


def _behind(rest: bytes) -> str:
    """What is wrong with text behind an object, on its line."""
    if re.match(rb",?\s*\{", rest):
        return _MANY
    if rest.startswith((b"//", b"/*", b"#")):
        return "a comment, which JSON does not have: remove it"
    return _COMMA if rest == b"," else "text behind the object: remove it, or begin a line with it"
