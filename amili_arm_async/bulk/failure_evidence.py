"""Pure: what a batch result says beside the status of the whole: which records it names as failed or succeeded, and what it counts.

The body of GET batch is on no public page, so a failure may be reported anywhere in it: in a list, a number, a flag, or a sentence. All of
that is found by the names of the fields; docs/assumptions.md has the rules. A false alarm costs a look-up; a failure that is missed costs
an invoice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import chain, repeat
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from ..config import BatchWords

__all__ = [
    "WORD_NAMES",
    "Evidence",
    "Item",
    "any_reports_failure",
    "gather",
    "meaning_of",
    "message_of",
    "names_failure",
    "parts_of",
    "reports_failure",
]

Meaning: TypeAlias = Literal["failure", "success", "incomplete", "message", "neutral", "other"]

MOST_NODES: Final = 100_000
"""Fields and items that are read beside the entries; a body with more of them counts as one that reports a failure."""

MOST_LISTED: Final = 20_000
"""The largest number of items of lists of failures and successes that are kept."""

_FAILURE: Final = re.compile(
    r"fail\w*|err(?:or)?s?|erroneous|faults?|reject\w*|invalid\w*|denied|declined|refused|abort\w*|exceptions?|unsuccessful\w*"
    r"|unprocessed|skipped|ignored|problems?|violations?|bad|feil\w*|avvist\w*|ugyldig\w*|mislyk\w*|mislykk\w*"
)


def _some(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SUCCESS: Final = _some(
    "success successes successful successfully succeeded succeed ok processed created updated vellykket vellykkede godkjent"
    " godkjente behandlet behandlede valid accepted gyldig gyldige"
)
_COUNTED_SUCCESS: Final = _SUCCESS - {"created", "updated"}
"""Numbers under "created" and "updated" are parts of a sum."""
_LISTED_SUCCESS: Final = _SUCCESS - {"processed", "behandlet", "behandlede", "valid", "accepted", "gyldig", "gyldige"}
"""Lists under the others say that something was processed, and not whether it succeeded."""
_NOT: Final = _some("not non un ikke without no")
_INCOMPLETE: Final = _some(
    "pending remaining queued waiting missing duplicate duplicates incomplete outstanding partial partially delvis mangler gjenstår"
)
_COMPLETE: Final = _some("complete completed finished done fullført ferdig")
_STATUS_LISTS: Final = _some("status statuses http code codes result results outcome outcomes state states log logs")
"""Lists under these names say what became of the batch or its records, and not what it holds."""
_NEUTRAL: Final = _some(
    "warning warnings warn advarsel advarsler max maximum limit threshold allowed tolerance tolerated stop on ignore handling"
    " policy mode url uri link links href retryable"
)
"""Warnings, settings and links, whatever else is in the name."""
_TIMES: Final = _some("at time date timestamp since until by rate percent percentage ratio pct")
_MESSAGES: Final = _some(
    "message messages description descriptions detail details text reason reasons info information statustext melding meldinger"
    " beskrivelse comment comments remark remarks note notes"
)
_TEXTS: Final = _MESSAGES | {"code", "codes", "type", "kode"}
WORD_NAMES: Final = ("status", "result", "resultType")
"""The fields with the status words of a batch or a record."""

_COUNTS: Final = _some("count total number antall size length n num no sum")
_INDEXES: Final = _some("index indexes indices idx")

_PARTS: Final = re.compile(r"[A-ZÆØÅ]+(?![a-zæøå])|[A-ZÆØÅ]?[a-zæøå]+|\d+")
_NUMERIC: Final = re.compile(r"[+-]?\d{1,30}(?:[.,]\d{1,30})?")
_DENIED: Final = _some("no none null nil n/a na - false ingen nei intet ok")
_LONGEST_DENIAL: Final = 200
_ZERO: Final = re.compile(r"(?:0+|zero|null) [a-zæøå]")


# --- names ------------------------------------------------------------------------------------------------------------------


@lru_cache(4096)
def parts_of(name: str) -> tuple[str, ...]:
    """Splits the name of a field into words: `numberRecordsFailed` and `number_records_failed` have the same.

    Args:
        name: the name.

    Returns:
        Its words, without case.
    """
    return tuple(part.casefold() for part in _PARTS.findall(name[:200]))


@lru_cache(4096)
def meaning_of(name: str) -> Meaning:
    """Returns what a field is about, by its name.

    Args:
        name: the name.

    Returns:
        What its value reports: a failure, a success, what is pending or missing ("incomplete"), a message, nothing, or something else.
    """
    parts = parts_of(name)
    if not _NEUTRAL.isdisjoint(parts):
        return "neutral"
    succeeds = not _SUCCESS.isdisjoint(parts)
    if any(map(_FAILURE.fullmatch, parts)) or (succeeds and not _NOT.isdisjoint(parts)):
        return "failure"
    if not _INCOMPLETE.isdisjoint(parts) and _TIMES.isdisjoint(parts):
        return "incomplete"
    if succeeds and _TIMES.isdisjoint(parts):
        return "success"
    return "other" if _MESSAGES.isdisjoint(parts) else "message"


# --- values -----------------------------------------------------------------------------------------------------------------


def number_in(value: object) -> int | Decimal | None:
    """Returns a number, also where it is written as text.

    Args:
        value: any value.

    Returns:
        The number, or None.
    """
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _NUMERIC.fullmatch(text := value.strip()):
        return Decimal(text.replace(",", "."))
    return None


def is_nothing(value: object, words: BatchWords) -> bool:
    """Returns whether a value under the name of a failure says that there is none: it is zero, empty, or denied.

    Args:
        value: the value.
        words: what the status words mean.

    Returns:
        Whether it reports no failure.
    """
    if not value:
        return True
    if isinstance(value, str):
        return _is_denied_text(value, words)
    if isinstance(value, list):
        return all(_is_blank(item, words) for item in value)
    return isinstance(value, dict) and all(_is_blank(item, words) or not item for item in value.values())


def is_denied(name: str, value: object, words: BatchWords) -> bool:
    """Returns whether a field that is named after a failure says that there is none; `noErrors` says so where it is true.

    Args:
        name: the name of the field.
        value: its value.
        words: what the status words mean.

    Returns:
        Whether it reports no failure.
    """
    return value is not False if isinstance(value, bool) and _is_denial(name) else is_nothing(value, words)


@lru_cache(4096)
def _is_denial(name: str) -> bool:
    parts = parts_of(name)
    return any(map(_FAILURE.fullmatch, parts)) and (parts[0] in _NOT or parts[-1] == "free")


def _is_denied_text(value: str, words: BatchWords) -> bool:
    if len(value) > _LONGEST_DENIAL:
        return False
    text = value.strip().casefold().rstrip(".!%")
    if not text or text in _DENIED or number_in(text) == 0 or _ZERO.match(text):
        return True
    # "No errors", "uten feil": a text that denies every failure that it names. One that names none is a failure, by the name of its field.
    return words.meaning(text) in {"succeeded", "done"} or (_FAILURE_WORD.search(text) is not None and not names_failure(text))


def _is_blank(item: object, words: BatchWords) -> bool:
    """Returns the same for an item in a list, where a zero is the key or the position of a record."""
    if isinstance(item, dict):
        return all(value is None or value in ("", [], {}) for value in item.values())
    return item is None or item == [] or (isinstance(item, str) and number_in(item) is None and _is_denied_text(item, words))


# --- sentences --------------------------------------------------------------------------------------------------------------

_CLAUSES: Final = re.compile(r"[.,](?!\d)|[;!?\n\r|]|\s(?:but|except|however|men|unntatt)\s")
_FAILURE_WORD: Final = re.compile(
    r"\b(?:fail(?!over|safe)\w*|error(?!-?free| free)\w*|errs?\b|faulty|faults?|reject\w*|invalid\w*|denied|declined|refused|abort\w*"
    r"|exceptions?|unsuccess\w*|unprocessed|skipped|duplicates?|missing|mangler|unknown|ukjent\w*|feil(?!fri)\w*|avvis\w*|ugyldig\w*|mislyk\w*)"
)
_FAILURE_PHRASE: Final = re.compile(
    r"\b(?:not all|ikke alle|not without|ikke uten)\b"
    r"|\b(?:could not|cannot|can't|couldn't|kunne ikke|kan ikke|partial(?:ly)?|partly|delvis)\b|\b(?:(?:only|kun|bare) \d+)\b"
    r"|\b(?:not|never|ikke) (?:be |been |yet |fully |blitt |enda |ennå )?(?:processed|stored|created|saved|imported|completed?|success\w*"
    r"|accepted|ok|valid|found|behandlet|lagret|opprettet|fullført|godkjent|gyldig|funnet)\b"
)
_OF: Final = re.compile(r"\b(\d{1,9}) ?(?:of|av|out of) (?:the |all |de |alle )?(\d{1,9})\b|(?<![/:\d-])\b(\d{1,9})/(\d{1,9})\b(?![/\d])")
_NOTHING_DONE: Final = re.compile(
    # "0 created, 4 updated" is a success, so these two are not among the words.
    r"\b(?:0+(?! ?[\d.,:])|no|none|nothing|zero|ingen|ingenting) (?:(?:records?|documents?|customers?|invoices?|rows?|items?|of them"
    r"|poster?|dokumenter|kunder|fakturaer) )?(?:(?:was|were|is|are|has|have|been|could|be|ble|er|kunne|bli) )*"
    r"(?:processed|stored|saved|imported|completed|succe\w*|accepted|ok|behandlet|lagret|importert|fullført|godkjent)\b"
    r"|\b(?:processed|imported|succeeded|behandlet|importert) ?[:=] ?0+(?![\d.,]*\d)(?!\w)(?! (?:err|fail|warn|feil|adv))"
)
"""Nothing was processed, and no failure is named."""
_NONE_OF: Final = re.compile(r"\b(0+|none|no|zero|ingen) ?(?:of|av|out of|/) ?(?:the |all |de |alle )?\d+")
_WORDS: Final = re.compile(r"[\w']+")
_DENIERS: Final = _some(
    "no not none nothing without zero never nor ingen ingenting intet uten null ikke nei didn't wasn't weren't haven't hasn't"
)
_DENIED_AFTER: Final = re.compile(
    r"(?:(?:\w* ?(?:rate|code|count|total)s?\b)?[\s:=(\[-]{0,4}(?:(?:was|were|is|are|er) )?|(?: \w+){1,2} ?[:=] ?)"
    r"(?:0+(?![\d.,]*[1-9])(?!\w)|(?:none|nil|ingen|false|nei)\b)"
)
_REACH: Final = 4
_LONGEST: Final = 4000


def names_failure(text: str) -> bool:
    """Returns whether a sentence names a failure that it does not deny: "1 error", and not "0 errors" or "uten feil".

    Args:
        text: the sentence.

    Returns:
        Whether it reports a failure.
    """
    text = text[:_LONGEST].casefold().replace("(s)", "").replace("(er)", "")
    for match in _OF.finditer(text):
        some, all_of_them = (int(one) for one in match.groups() if one is not None)
        if 0 < some < all_of_them:
            return True
    text = _NONE_OF.sub(r"\1", text)
    if _NOTHING_DONE.search(text):
        return True
    return any(
        not _is_denied(clause, match)
        for clause in _CLAUSES.split(text)
        if clause
        for match in chain(_FAILURE_WORD.finditer(clause), _FAILURE_PHRASE.finditer(clause))
    )


def _is_denied(clause: str, match: re.Match[str]) -> bool:
    if _DENIED_AFTER.match(clause, match.end()):
        return True
    for word in reversed(_WORDS.findall(clause[: match.start()].rpartition(":")[2])[-_REACH:]):
        if word.isdecimal():
            return int(word) == 0
        if word in _DENIERS:
            return True
    return False


# --- an entry ---------------------------------------------------------------------------------------------------------------


def reports_failure(entry: Mapping[str, Any], words: BatchWords) -> bool:
    """Returns whether an entry reports a failure of its record, beside its status words and its message.

    Args:
        entry: the entry.
        words: what the status words mean.

    Returns:
        Whether it does.
    """
    return any(_is_failure(name, value, words) for name, value in entry.items())


def _is_failure(name: str, value: object, words: BatchWords) -> bool:
    meaning = meaning_of(name)
    if meaning == "failure":
        return not is_denied(name, value, words)
    return meaning == "success" and value is False


def any_reports_failure(items: Sequence[dict[str, Any]], words: BatchWords) -> bool:
    """Returns whether one of the entries reports a failure. No line of Python runs for each entry without such fields.

    Args:
        items: the entries.
        words: what the status words mean.

    Returns:
        Whether one does.
    """
    names: set[str] = set().union(*items)
    for name in names:
        meaning = meaning_of(name)
        column = map(dict.get, items, repeat(name))
        if meaning == "failure" and (any(column) or _is_denial(name)) and any(_is_failure(name, item.get(name), words) for item in items):
            return True
        if meaning == "success" and any(value is False for value in column):
            return True
    return False


_ABOUT: Final = ("message", "errorMessage", "reason", "description", "melding", "feilmelding", "detail", "text", "title")
_MOST_MESSAGE: Final = 1000


def message_of(fields: Mapping[str, Any]) -> str | None:
    """Returns the message of an entry, or of an item of a list of failures.

    Args:
        fields: the entry or item.

    Returns:
        The message, with the code before it where there is one; or None.
    """
    found: list[str] = []
    for name in _ABOUT:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            found.append(value if name == "message" else value.strip())
            break
    for name, value in fields.items():
        if meaning_of(name) == "failure" and isinstance(value, list):
            found += [text for item in value[:20] if (text := _text_of(item)) is not None and text not in found]
    if not found:
        return None
    code = _code_of(fields)
    return "; ".join(found)[:_MOST_MESSAGE] if code is None else f"{code}: {'; '.join(found)}"[:_MOST_MESSAGE]


def _text_of(item: object) -> str | None:
    if isinstance(item, dict):
        return message_of(item) or _code_of(item)
    return item.strip() if isinstance(item, str) and item.strip() else None


def _code_of(fields: Mapping[str, Any]) -> str | None:
    value = next((fields[name] for name in ("code", "errorCode", "kode") if fields.get(name)), None)
    return str(value)[:40] if isinstance(value, (str, int)) and not isinstance(value, bool) else None


# --- beside the entries -------------------------------------------------------------------------------------------------------


class Item(Struct, frozen=True):
    """An item of a list of failures or successes.

    Attributes:
        value: an object, a number or a text, as it came.
        name: the name of the list.
        may_name: whether a number or a text in it can be the key of a record; codes and messages can't.
    """

    value: Any
    name: str
    may_name: bool


class Evidence(Struct):
    """What a body says beside its entries and the status of the whole.

    Attributes:
        failed: the items of its lists of failures.
        succeeded: the items of its lists of successes.
        reports_failure: whether a failure is named, listed or counted anywhere.
        most_failures: the highest count of failures in it, or None.
        least_successes: the lowest count of successes in it, or None.
        nodes: the number of objects and lists that were read.
    """

    failed: list[Item] = []
    succeeded: list[Item] = []
    reports_failure: bool = False
    most_failures: int | Decimal | None = None
    least_successes: int | Decimal | None = None
    nodes: int = 0

    @property
    def is_too_much(self) -> bool:
        """Whether there was more than is read."""
        return self.nodes > MOST_NODES


_MOST_TEXT: Final = 50_000
"""The number of characters of messages that are read."""


def gather(body: Any, entries: object, words: BatchWords, whole: Sequence[Mapping[str, Any]]) -> Evidence:
    """Searches a body for everything that reports successes and failures.

    Args:
        body: the decoded body.
        entries: the list in it that holds the entries, which is left out; or None.
        words: what the status words mean.
        whole: the objects with the status words of the whole, which are left out.

    Returns:
        What was found.
    """
    return _Walk(entries, words, whole).through(body)


class _Walk:
    def __init__(self, entries: object, words: BatchWords, whole: Sequence[Mapping[str, Any]]) -> None:
        self._entries = entries
        self._words = words
        self._whole = {id(one) for one in whole}
        self._found = Evidence()
        self._characters_left = _MOST_TEXT
        self._rest: list[Any] = []

    def through(self, body: Any) -> Evidence:
        self._rest = [body]
        found = self._found
        while self._rest and not found.is_too_much:
            value = self._rest.pop()
            found.nodes += 1
            if isinstance(value, dict):
                for name, inner in value.items():
                    found.nodes += 1
                    self._read(name, inner, is_word=id(value) in self._whole and name in WORD_NAMES)
            elif isinstance(value, list) and value is not self._entries:
                self._rest += [item for item in value if isinstance(item, (dict, list))]
        found.reports_failure = found.reports_failure or bool(found.failed) or found.is_too_much
        return found

    def _read(self, name: str, value: Any, *, is_word: bool) -> None:
        if value is self._entries:
            return
        meaning = meaning_of(name)
        if meaning == "neutral":
            return
        if meaning == "failure":
            self._failure(name, value)
        elif meaning == "success":
            self._success(name, value)
        elif meaning == "incomplete":
            self._found.reports_failure = self._found.reports_failure or not is_nothing(value, self._words)
        elif meaning == "message":
            self._message(value)
        elif isinstance(value, (dict, list)):
            self._rest.append(value)
            if isinstance(value, list):
                self._plain(name, value)
        elif not is_word:
            self._word(name, value)

    def _word(self, name: str, value: Any) -> None:
        """Reads a word of failure, or an HTTP status of failure, in any field."""
        if isinstance(value, str) and len(value) < 40:
            self._found.reports_failure = self._found.reports_failure or self._words.meaning(value.strip()) in {
                "failed",
                "partial",
                "pending",
            }
        elif value is False:
            self._found.reports_failure = self._found.reports_failure or not _COMPLETE.isdisjoint(parts_of(name))
        elif isinstance(value, int) and parts_of(name)[-1:] and {"status", "http"} & set(parts_of(name)):
            self._found.reports_failure = self._found.reports_failure or 400 <= value < 600

    def _plain(self, name: str, values: list[Any]) -> None:
        """Reads what a list has beside objects: words, flags, status codes, or sentences, one for each record or for the whole."""
        meanings: set[object] = {self._words.meaning(one.strip()) for one in values if isinstance(one, str) and len(one) < 40}
        meanings |= {one for one in values if isinstance(one, bool)}
        if _STATUS_LISTS.isdisjoint(parts_of(name)) and not {"succeeded", "failed"} <= meanings and not {True, False} <= meanings:
            return
        for value in values:
            if value is False or (isinstance(value, int) and 400 <= value < 600):
                self._found.reports_failure = True
            elif isinstance(value, str):
                self._word(name, value)
                self._message(value)

    def _message(self, value: Any) -> None:
        texts = value if isinstance(value, list) else [value]
        for text in texts:
            if isinstance(text, str):
                self._characters_left -= min(len(text), _LONGEST)
                self._found.reports_failure = self._found.reports_failure or self._characters_left < 0 or names_failure(text)
        self._rest += [item for item in texts if isinstance(item, dict)]

    # --- failures ---------------------------------------------------------------------------------------------------------

    def _failure(self, name: str, value: Any) -> None:
        if is_denied(name, value, self._words):
            if not isinstance(value, (str, list, dict)) or number_in(value) is not None:
                self._count_failures(0)
            return
        self._found.reports_failure = True
        if isinstance(value, list):
            self._list(self._found.failed, name, value)
        elif isinstance(value, dict):
            self._failures_by_name(name, value)
        elif (number := number_in(value)) is not None and _TEXTS.isdisjoint(parts_of(name)):
            self._count_failures(number)

    def _count_failures(self, number: int | Decimal) -> None:
        most = self._found.most_failures
        self._found.most_failures = number if most is None else max(most, number)

    def _failures_by_name(self, name: str, value: dict[str, Any]) -> None:
        """Reads an object of failures: a single failure, counts and lists, or a failure under the key of each record."""
        self._found.failed.append(Item(value, name, may_name=True))
        for inner, item in value.items():
            if is_nothing(item, self._words):
                continue
            parts = set(parts_of(inner))
            number = number_in(item)
            if parts & _COUNTS and number is not None:
                self._count_failures(number)
            elif isinstance(item, list) and any(isinstance(one, dict) for one in item):
                self._list(self._found.failed, name, item)
            elif isinstance(item, list) and not parts & _TEXTS:
                self._list(self._found.failed, inner, item)
                self._found.failed.append(Item({"key": inner, "message": item[0]}, name, may_name=True))
            else:
                self._found.failed.append(Item({"key": inner, "message": item}, name, may_name=True))

    def _list(self, where: list[Item], name: str, value: list[Any]) -> None:
        may_name = _TEXTS.isdisjoint(parts_of(name))
        for item in value:
            self._found.nodes += 1
            if self._found.is_too_much or len(where) >= MOST_LISTED:
                self._found.nodes = MOST_NODES + 1
                return
            if isinstance(item, list):
                where += [Item(one, name, may_name) for one in item[:100]]
            elif not _is_blank(item, self._words):
                where.append(Item(item, name, may_name))

    # --- successes --------------------------------------------------------------------------------------------------------

    def _success(self, name: str, value: Any) -> None:
        if value is False or (isinstance(value, str) and value.strip().casefold() in {"false", "no", "nei"}):
            self._found.reports_failure = True
            return
        parts = set(parts_of(name))
        if (number := number_in(value)) is not None and parts & _COUNTED_SUCCESS and not parts & _TEXTS:
            self._count_successes(number)
        elif isinstance(value, list) and parts & _LISTED_SUCCESS:
            self._list(self._found.succeeded, name, value)
        elif isinstance(value, dict):
            for inner, item in value.items():
                if set(parts_of(inner)) & _COUNTS and (number := number_in(item)) is not None:
                    self._count_successes(number)
                elif isinstance(item, list) and parts & _LISTED_SUCCESS:
                    self._list(self._found.succeeded, name, item)
                else:
                    self._read(inner, item, is_word=False)
        elif isinstance(value, list):
            self._rest.append(value)

    def _count_successes(self, number: int | Decimal) -> None:
        least = self._found.least_successes
        self._found.least_successes = number if least is None else min(least, number)
