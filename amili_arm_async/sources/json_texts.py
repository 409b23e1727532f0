"""Pure: JSON as texts of single records: lines, lists, objects on several lines, and bodies of the API that hold a list of records."""

from __future__ import annotations

import re
from itertools import repeat
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from ..unreadable import UnreadableRecord
from .json_faults import NOT_UTF_8, fault_of
from .json_tokens import OBJECT, STRING, body_pattern, tail_pattern, value_pattern
from .text import BOM, is_utf8

__all__ = ["FoundTexts", "JsonTexts"]

_BLANKS: Final = b" \t\r"
_SPACE: Final = re.compile(rb"(?:(?>[ \t\r\n]|\xef\xbb\xbf))*+")
_REST: Final = re.compile(rb"[ \t\r]*+(?:\n|$)")
_FIRST_KEY: Final = re.compile(rb"\{\s*+(" + STRING + rb")\s*+:")
_TOKEN: Final = re.compile(STRING + rb'|["{}\[\]:,\n]|[^\s"{}\[\]:,]++')
_LIST_NAMES: Final = (b'"customers"', b'"documents"')
_INNER_LIST: Final = re.compile(rb"\[\s*+\{")
_BESIDE: Final = re.compile(rb"(?:(?>[ \t,\[\]}]|\xef\xbb\xbf))*+")
_LINES: Final = 8
"""Lines of one object each, after which more of them are expected."""

_KEPT: Final = 1000
_MOST_AHEAD: Final = 500
"""Bytes behind a line end that tell whether another record begins there."""
_LARGEST_HEAD: Final = 1_000_000
"""Bytes of a body before its list."""

_CUT: Final = "an object that does not end: it was cut off, or a brace or a quotation mark is missing"
_NO_OBJECT: Final = "an item of the list that is no object"
_TOO_MANY: Final = "a comma too many in the list: remove it"
_TOO_MANY_BRACES: Final = "a } too many in the list: remove it"
_MISSING: Final = "a comma is missing before the object on this line"
_NO_END: Final = "the list does not end: the file was cut off, so that records may be missing"

_Where: TypeAlias = Literal["top", "list", "body", "tail"]


class FoundTexts(NamedTuple):
    """Records that follow each other.

    Attributes:
        numbers: the line on which each begins.
        records: the texts, and what can't be read.
    """

    numbers: list[int]
    records: list[bytes | UnreadableRecord]


class _Broken(NamedTuple):
    """Where an object can't be read further."""

    place: int


class JsonTexts:
    """Gives the records of bytes of JSON with the numbers of the lines on which they begin.

    Lines with one object each are given as they stand; so are objects of a list that are on one line. Objects on several lines are given
    without the blanks between their tokens. A broken one costs itself only: the next one is found by the name of its first field.

    Attributes:
        too_long: the numbers of lines with a record that was longer than a record may be; nothing of it is kept.

    Args:
        longest: bytes of a record at the most.
    """

    def __init__(self, longest: int) -> None:
        self.too_long: set[int] = set()
        self._longest = longest
        self._rest = b""
        self._place = 0
        # The line at `_place`, and what of it is behind us already.
        self._line = 1
        self._before = b""
        self._final = False
        self._found = FoundTexts([], [])
        self._where: _Where = "top"
        # Whether the last record was a line of its own.
        self._in_lines = False
        # How many such records were read one after the other.
        self._streak = 0
        # In a list: whether a comma is wanted, and whether one was read that wants a record.
        self._wants_comma = False
        self._has_comma = False
        self._scan: _Scan | None = None
        self._lost: _Lost | None = None
        # A line that is too long is passed over to its end.
        self._passes_line = False
        self._ends: list[int] = []

    def feed(self, block: bytes) -> FoundTexts:
        """The records that end in this block."""
        self._rest = self._rest[self._place :] + block if self._rest else block
        self._place = 0
        if not self._is_between_lines or not self._take_lines():
            self._work()
        found, self._found = self._found, FoundTexts([], [])
        return found

    def end(self) -> FoundTexts:
        """The records that end with the file."""
        self._final = True
        self._rest = self._rest[self._place :].rstrip(b"\x1a")
        self._place = 0
        self._work()
        if self._lost is not None:
            self._give_lost(None)
        elif self._where != "top":
            self._refuse(self._line, _NO_END)
        return self._found

    @property
    def _is_between_lines(self) -> bool:
        """Whether a line that is an object is expected here."""
        is_busy = self._before or self._ends or self._passes_line or self._scan is not None or self._lost is not None
        return self._in_lines and self._where == "top" and not is_busy

    # --- lines ------------------------------------------------------------------------------------------------------------

    def _take_lines(self) -> bool:
        """Takes whole lines of one object each; False where something else is among them, at which the place is then."""
        end = self._rest.rfind(b"\n") + 1
        if not end:
            return len(self._rest) <= self._longest
        block = self._rest[:end]
        lines = block.split(b"\n")
        del lines[-1]
        are_objects = all(map(bytes.startswith, lines, repeat(b"{"))) and all(map(bytes.endswith, lines, repeat(b"}")))
        if are_objects and max(map(len, lines)) <= self._longest and is_utf8(block):
            self._found.numbers.extend(range(self._line, self._line + len(lines)))
            self._found.records.extend(lines)
            self._line += len(lines)
            self._place = end
            return True
        return self._take_odd_lines(lines)

    def _take_odd_lines(self, lines: list[bytes]) -> bool:
        for line in lines:
            text = line.removeprefix(BOM).strip(_BLANKS)
            if text:
                if not text.startswith(b"{") or not text.endswith(b"}") or len(line) > self._longest:
                    return False
                self._add(self._line, text if is_utf8(text) else self._unreadable(self._line, NOT_UTF_8, text))
            self._place += len(line) + 1
            self._line += 1
        return True

    # --- anything ---------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Reads as far as the bytes reach."""
        while self._step():
            if self._streak >= _LINES and self._is_between_lines and not self._final:
                self._streak = 0
                self._rest, self._place = self._rest[self._place :], 0
                if self._take_lines():
                    return

    def _step(self) -> bool:
        """Reads the next record or sign; False where more bytes are needed."""
        if self._lost is not None:
            return self._find_next()
        if self._passes_line:
            return self._pass_line()
        if self._scan is None:
            match = _SPACE.match(self._rest, self._place)
            assert match is not None
            self._go_to(match.end())
            if self._place == len(self._rest):
                return False
        if self._where == "tail":
            return self._end_body()
        sign = self._rest[self._place]
        if sign == 0x7B:  # {
            return self._object()
        if self._where == "top":
            if sign == 0x5B and not self._in_lines:  # [
                self._go_to(self._place + 1)
                self._begin_list("list")
                return True
            return self._other_line()
        return self._in_list(sign)

    def _go_to(self, place: int) -> None:
        passed = self._rest[self._place : place]
        count = passed.count(b"\n")
        self._line += count
        self._before = passed[passed.rfind(b"\n") + 1 :][:_KEPT] if count else (self._before + passed)[:_KEPT]
        self._place = place

    def _begin_list(self, where: _Where) -> None:
        self._where = where
        self._in_lines = self._wants_comma = self._has_comma = False

    # --- objects ----------------------------------------------------------------------------------------------------------

    def _object(self) -> bool:
        start = self._place
        if self._scan is None:
            if self._where != "top" and self._wants_comma:
                self._refuse(self._line, _MISSING)
                self._wants_comma = False
            whole = OBJECT.match(self._rest, start)
            # An object that is whole begins a body only where it has the name of such a list.
            may_begin = whole is None or any(name in whole[0] for name in _LIST_NAMES)
            if self._where == "top" and may_begin and self._begins_body(start):
                return True
            if whole is not None:
                return self._whole(whole.end())
            self._scan = _Scan(self._before, any_key=self._in_lines)
        elif self._where == "top" and self._begins_body(start):
            return True
        ended = self._scan.go_on(self._rest, start, self._final)
        if isinstance(ended, _Broken):
            self._lose(ended.place)
            return True
        if ended is not None:
            return self._whole(ended)
        if len(self._rest) - start > self._longest:
            self._lose(self._scan.place(start))
            return True
        if self._final:
            self._lose(len(self._rest))
            return True
        return False

    def _begins_body(self, start: int) -> bool:
        if len(self._rest) - start <= _LARGEST_HEAD or self._scan is None:
            body = body_pattern().match(self._rest, start)
            if body is not None:
                self._scan = None
                self._go_to(body.end())
                self._begin_list("body")
                return True
        return False

    def _whole(self, end: int) -> bool:
        """Takes an object that ends here."""
        start, line = self._place, self._line
        text = self._rest[start:end]
        is_line = b"\n" not in text
        fault = None
        if self._where == "top":
            rest = _REST.match(self._rest, end)
            if rest is None or (rest.end() == len(self._rest) and not self._final and not rest[0].endswith(b"\n")):
                if rest is None and is_line:
                    self._scan = None
                    return self._other_line()
                if rest is not None:
                    self._scan = None
                    return self._wait(start)
                following = self._rest[end:].lstrip(_BLANKS)
                if not following.startswith(b"{"):
                    stop = self._rest.find(b"\n", end) + 1 or len(self._rest)
                    fault, end = fault_of(text + self._rest[end:stop].rstrip()), stop
            elif is_line:
                # Lines can be taken many at once.
                end = rest.end()
            self._in_lines = is_line
            self._streak = self._streak + 1 if is_line and fault is None else 0
        self._scan = None
        self._has_comma, self._wants_comma = False, True
        self._go_to(end)
        self._give(line, text, fault, is_line)
        return True

    def _wait(self, start: int) -> bool:
        """Waits for the end of a line; where it is too long already, all of it is passed over."""
        if len(self._rest) - start <= self._longest:
            return False
        return self._other_line()

    def _give(self, line: int, text: bytes, fault: str | None, is_line: bool) -> None:
        if len(text) > self._longest:
            self._too_long(line)
        elif fault is None and not is_utf8(text):
            self._refuse(line, NOT_UTF_8, text)
        elif fault is None and not is_line:
            try:
                self._put(line, msgspec.json.format(text, indent=-1))
            except msgspec.DecodeError:
                self._refuse(line, fault_of(text) or _CUT, text)
        elif fault is not None:
            self._refuse(line, fault, text)
        else:
            self._put(line, text)

    def _put(self, line: int, record: bytes | UnreadableRecord) -> None:
        for number in self._ends:
            self._add(number, self._unreadable(number, fault_of(b"\x1a") or ""))
        self._ends = []
        self._add(line, record)

    def _add(self, line: int, record: bytes | UnreadableRecord) -> None:
        self._found.numbers.append(line)
        self._found.records.append(record)

    def _refuse(self, line: int, fault: str, text: bytes | None = None, code: str = "not_json") -> None:
        self._put(line, self._unreadable(line, fault, text, code))

    def _unreadable(self, line: int, fault: str, text: bytes | None = None, code: str = "not_json") -> UnreadableRecord:
        as_read = None if text is None else text.decode("utf-8", "backslashreplace")
        return UnreadableRecord(f"line {line}: {fault}", as_read=as_read, faults=[(code, "$", fault)])

    def _too_long(self, line: int) -> None:
        self.too_long.add(line)
        self._refuse(line, f"more than {self._longest} bytes", code="too_large")

    # --- other text -------------------------------------------------------------------------------------------------------

    def _other_line(self) -> bool:
        """Takes the rest of a line, which is not one object."""
        start, line = self._place, self._line
        end = self._rest.find(b"\n", start) + 1
        if (end - 1 if end else len(self._rest)) - start > self._longest:
            self._too_long(line)
            self._passes_line = True
            return True
        if not end and not self._final:
            return False
        end = end or len(self._rest)
        text = self._rest[start:end].rstrip()
        self._go_to(end)
        if text.strip(b"\x1a"):
            self._refuse(line, fault_of(text) or _CUT, text)
            self._streak = 0
        else:
            self._ends.append(line)
        return True

    def _pass_line(self) -> bool:
        end = self._rest.find(b"\n", self._place) + 1
        self._go_to(end or len(self._rest))
        self._passes_line = not end
        return bool(end)

    def _in_list(self, sign: int) -> bool:
        if sign == 0x2C:  # ,
            if not self._wants_comma:
                self._refuse(self._line, _TOO_MANY)
            self._wants_comma, self._has_comma = False, True
            self._go_to(self._place + 1)
            return True
        if sign == 0x5D:  # ]
            if self._has_comma:
                self._refuse(self._line, _TOO_MANY)
            self._where = "tail" if self._where == "body" else "top"
            self._go_to(self._place + 1)
            return True
        if sign == 0x7D:  # }
            self._refuse(self._line, _TOO_MANY_BRACES)
            self._go_to(self._place + 1)
            return True
        line, end = self._line, self._item_end()
        if end is None:
            return False
        text = self._rest[self._place : end]
        self._go_to(end)
        self._refuse(line, _NO_OBJECT, text[:_KEPT])
        self._has_comma, self._wants_comma = False, True
        return True

    def _item_end(self) -> int | None:
        """Where an item of a list that is no object ends; None where more bytes are needed."""
        item = value_pattern().match(self._rest, self._place)
        if item is not None and (item.end() < len(self._rest) or self._final):
            return item.end()
        if len(self._rest) - self._place <= self._longest and not self._final:
            return None
        return self._rest.find(b"\n", self._place) + 1 or len(self._rest)

    def _end_body(self) -> bool:
        """Passes over what is behind the list of a body."""
        tail = tail_pattern().match(self._rest, self._place)
        if tail is not None:
            self._go_to(tail.end())
            self._where = "top"
            return True
        if len(self._rest) - self._place <= min(self._longest, _LARGEST_HEAD) and not self._final:
            return False
        self._refuse(self._line, "the object around the list does not end as it should")
        self._where = "top"
        self._go_to(len(self._rest))
        return True

    # --- after a broken one -----------------------------------------------------------------------------------------------

    def _lose(self, place: int) -> None:
        """An object is broken, or too long, at a place: the next one is looked for behind it."""
        scan = self._scan
        assert scan is not None
        text = self._rest[self._place : place]
        is_too_long = len(self._rest) - self._place > self._longest
        fault = None if is_too_long else (fault_of(text) if len(text) < _LARGEST_HEAD else None) or _CUT
        # In a list on one line, the next one is on the same; but where records hold lists of their own, it may be one of these.
        same_line = self._where != "top" and b"\n" not in text and _INNER_LIST.search(text) is None
        key = None if self._in_lines else scan.key
        self._lost = _Lost(self._line, fault, text[:_KEPT], key, scan.indent, same_line)
        self._scan = None
        self._streak = 0
        self._go_to(max(place, self._place + 1))

    def _find_next(self) -> bool:
        lost = self._lost
        assert lost is not None
        for match in lost.pattern.finditer(self._rest, self._place):
            brace = match.end(1)
            line_begin = self._rest.rfind(b"\n", self._place, brace) + 1
            before = self._rest[line_begin:brace] if line_begin else self._before + self._rest[self._place : brace]
            indent = _indent_of(before)
            if lost.same_line if indent is None else lost.indent is None or indent <= lost.indent:
                self._go_to(brace)
                self._give_lost(self._line)
                return True
        # What is left may be the beginning of one.
        keep = 0 if self._final else _MOST_AHEAD
        self._go_to(max(self._place, len(self._rest) - keep))
        return False

    def _give_lost(self, next_line: int | None) -> None:
        lost, self._lost = self._lost, None
        assert lost is not None
        if lost.fault is None:
            self._too_long(lost.line)
        else:
            further = "; behind it, no other one is found" if next_line is None else f"; the next one that is found is on line {next_line}"
            self._refuse(lost.line, lost.fault + further * (next_line != lost.line + 1), lost.text)
        self._wants_comma = self._has_comma = False


class _Lost(NamedTuple):
    """A broken object, behind which the next one is looked for."""

    line: int
    fault: str | None
    text: bytes
    key: bytes | None
    indent: int | None
    same_line: bool

    @property
    def pattern(self) -> re.Pattern[bytes]:
        """Finds a brace, before which group 1 ends, that begins an object with the same first field."""
        key = rb"" if self.key is None else rb"\s*+" + re.escape(self.key) + rb"\s*+:"
        return re.compile((rb"()" if self.key is not None else rb"(^(?:(?>[ \t,]|\xef\xbb\xbf))*+)") + rb"\{" + key, re.MULTILINE)


class _Scan:
    """Finds the end of an object, bracket by bracket, in bytes that come one after the other.

    Attributes:
        key: the name of its first field, with quotation marks; None where it has none.
        indent: the blanks before it, where it begins its line; None where it does not.
    """

    def __init__(self, before: bytes, *, any_key: bool) -> None:
        self.key: bytes | None = None
        self.indent = _indent_of(before)
        self._any_key = any_key
        self._passed = 0
        self._open = bytearray()
        self._last = b":"

    def place(self, start: int) -> int:
        """How far it was read, where the object begins at `start`."""
        return start + self._passed

    def go_on(self, text: bytes, start: int, final: bool) -> int | _Broken | None:
        """Reads on; returns the end, or where it is broken, or None where more bytes are needed."""
        if self.key is None and (first := _FIRST_KEY.match(text, start)) is not None:
            self.key = first[1]
        for match in _TOKEN.finditer(text, start + self._passed):
            token = match[0]
            place = match.start()
            if token == b"\n":
                if len(text) - place < _MOST_AHEAD and not final:
                    return None
                if self._is_next(text, place):
                    return _Broken(place)
            elif token == b'"':
                # It is not closed on its line, or not yet.
                return _Broken(place) if final or text.find(b"\n", place) >= 0 else None
            elif match.end() == len(text) and not final and token[0] not in b'"{}[]:,':
                return None
            elif not self._takes(token):
                return _Broken(place)
            if not self._open:
                return match.end()
            self._passed = match.end() - start
        return None

    def _is_next(self, text: bytes, place: int) -> bool:
        """Whether the next line begins another object with the same first field, which is not deeper than this one."""
        if self.indent is None or (self.key is None and not self._any_key):
            return False
        key = b"" if self._any_key else rb"\s*+" + re.escape(self.key or b"") + rb"\s*+:"
        following = re.compile(rb"\n(?:(?>\xef\xbb\xbf))?+([ \t]*+)\{" + key).match(text, place)
        return following is not None and len(following[1]) <= self.indent

    def _takes(self, token: bytes) -> bool:
        """Whether a token can stand here."""
        last, self._last = self._last, token
        if token in b"{[":
            if last != b":" and not (self._open.endswith(b"[") and last in b"[,"):
                return False
            self._open += token
        elif token in b"}]":
            if not self._open.endswith(b"{" if token == b"}" else b"["):
                return False
            del self._open[-1]
        return True


def _indent_of(before: bytes) -> int | None:
    """The blanks at the beginning of a line of which this stands before an object; None where it is more than brackets and commas."""
    beside = _BESIDE.match(before)
    return len(before) - len(before.lstrip()) if beside is not None and beside.end() == len(before) else None
