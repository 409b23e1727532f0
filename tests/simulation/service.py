"""The service: a pure model of the ARM API behind the simulated network. No code of the library is in here.

A write has three moments: its records are taken, they are processed, and the answer is written. Faults come between them.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from decimal import Decimal
from email.utils import formatdate
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from .rare_results import odd_result, rare_result

if TYPE_CHECKING:
    from .network import Connection
    from .world import World

__all__ = [
    "BAD_DOCUMENT",
    "BLIND",
    "BLIND_TO_BLANKS",
    "BLIND_TO_LONG",
    "BLIND_TO_SLASHES",
    "DOCUMENT_FAULTS",
    "FAULTS",
    "MORE_FAULTS",
    "OLD_TOKENS",
    "PROBE_FAILS",
    "RESULTS_AWAY",
    "SHORT_TOKENS",
    "Batch",
    "Service",
    "is_bad",
    "name_of",
]

REASONS = {200: "OK", 202: "Accepted", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}

FAULTS = (
    "refused",
    "reset_before",
    "reset_in_body",
    "reset_after",
    "silence_before",
    "silence_after",
    "slow_answer",
    "status_before",
    "status_after",
    "proved_refusal",
    "cut_answer",
    "no_uuid",
    "repeated_uuid",
    "cached_answer",
    "extra_answer",
    "early_answer",
    "redirect",
    "poll_fails",
    "poll_odd",
    "result_gone",
    "record_fails",
    "slow_processing",
    "look_up_fails",
    "look_up_lags",
    "token_fails",
)
"""What may go wrong on the side of the service and on the way. Each story draws some of them."""


DOCUMENT_FAULTS = (*FAULTS, "odd_status_after", "overload", "bad_data", "other_result", "look_up_odd", "token_not_found", "rare_result")
"""Those of runs of documents. An odd status is one that proves nothing; an overload lasts; a result may have any form."""

MORE_FAULTS = ("asked_to_wait", "late_intake", "partly_done", "odd_result", "swapped_result")
"""Further ones of runs of documents, which are drawn apart: a request to wait for longer, a batch that is taken while its sender waits in
vain, a result that is there for some records, one of a form that says little, and one of another batch with the same batchUuid."""

BAD_DOCUMENT = "bad_document"
"""The fault of a service that refuses each batch with certain documents, in a whole story."""

PROBE_FAILS = "probe_fails"
"""The fault of a service that often does not answer the read that asks whether it is there, in a whole story."""

RESULTS_AWAY = "results_away"
"""The fault of a service that gives no results, in a whole story: runs wait until their deadline."""

OLD_TOKENS = "old_tokens"
"""The fault of an identity service whose tokens are soon refused, though they are said to be good for longer, in a whole story."""

SHORT_TOKENS = "short_tokens"
"""The fault of an identity service whose tokens are soon too old, in a whole story."""

BLIND = "look_up_blind"
"""The fault of a service that finds no document by its number, in a whole story."""

BLIND_TO_SLASHES = "look_up_blind_to_slashes"
"""The fault of a gateway that takes a slash in a number for a part of the path, and finds nothing there."""

BLIND_TO_LONG = "look_up_blind_to_long"
"""The fault of a gateway that finds nothing under the longer ones of the numbers."""

BLIND_TO_BLANKS = "look_up_blind_to_blanks"
"""The fault of a service that keeps the blanks around a number, and finds it only with them."""

_BOOKS = ("taken", "bodies", "stored_at", "failed", "is_well", "writes", "asked", "unanswered_until", "overloaded_until")

_IN_DOUBT = (302, 303, 407, 408, 409, 418, 425, 499, 200, 204)
"""Statuses that do not say whether a batch was taken."""

_JSON = json.JSONEncoder(default=str)

_LONG = 5
"""Characters of the longest numbers that are found where longer ones are not."""

_LIFE = 5.0
"""Seconds after which an old token is refused."""

_PROBE_FAILS = 0.5
"""How often a service does not answer whether it is there."""

_UNDER_WAY = 0.5
"""Seconds that what is on its way may take to arrive."""

_HEARD = 2.0
"""Seconds after which a process has heard what it was answered."""

_UNANSWERED = 30.0
"""Seconds for which a number can't be looked up, once a look-up of it failed: longer than the library tries again."""


@cache
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def name_of(record: dict[str, Any]) -> str:
    """What makes two documents the same: the number, else all that is said. A field that is None says nothing."""
    number = record.get("documentNo")
    if number not in (None, ""):
        return f"number {number.strip()}".casefold()
    said = {name: value for name, value in record.items() if value is not None}
    return "content " + json.dumps(said, sort_keys=True, default=str)


def is_bad(name: str) -> bool:
    """Whether a document is one that a service refuses where it refuses any."""
    return name.endswith(("4", "9"))


@dataclass
class Batch:
    """Records that were taken together."""

    uuid: str
    records: list[dict[str, Any]]
    taken_at: float
    done_at: float
    failed: set[int] = field(default_factory=set)
    polls: int = 0
    is_found: bool = False
    """Whether a look-up found one of its records."""
    gone: int = 0
    """How often a poll was answered that there is no result."""
    odd: int = 0
    """How often a poll was answered with words that say nothing."""


class Service:
    """The service with its books.

    Attributes:
        world: the world.
        taken: how often each document was taken and billed.
        bodies: by name, the last content that was taken.
        batches: by batchUuid.
        enabled: the faults of this story.
        odds: how often one of them strikes.
        is_well: nothing goes wrong any more.
        only: of the moments in which a fault may strike, the numbers of those in which one does; None: any.
        struck_at: the numbers of those in which one did.
        most_records: records of the largest batch.
        most_bytes: bytes of the largest batch, as it was before it was compressed.
        refused_tokens: by process, those that were refused because they were old.
        elsewhere: writes that came for another address.
        writes: how many writes came whole.
        knows_senders: whoever sends knows each batchUuid that was asked for: no journal is put back, cleared or left out.
        unanswered_until: by name, until when a look-up is not answered.
        overloaded_until: until when each write is refused.
        deadline: how long those who send now wait for a result: none comes later.
        siblings: documents that were sent again though a look-up had found others of their batch, of whose result nobody heard.
        hasty: writes that began though their process did not know what became of an earlier one, and no read was answered since.
        impatient: writes that began though their process was asked to wait for longer.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.taken: Counter[str] = Counter()
        self.bodies: dict[str, dict[str, Any]] = {}
        self.stored_at: dict[str, float] = {}
        self.failed: set[str] = set()
        self.batches: dict[str, Batch] = {}
        self.enabled: frozenset[str] = frozenset()
        self.odds = 0.0
        self.is_well = False
        self.writes = 0
        self.struck: Counter[str] = Counter()
        self.only: frozenset[int] | None = None
        self.asked = 0
        self.most_records = self.most_bytes = self.elsewhere = 0
        self.refused_tokens: defaultdict[int, set[str]] = defaultdict(set)
        self.knows_senders = False
        self.unanswered_until: dict[str, float] = {}
        self.overloaded_until = 0.0
        self.deadline = 120.0
        self.hasty: list[str] = []
        self.impatient: list[str] = []
        self.siblings: list[str] = []
        self.struck_at: list[int] = []
        # By the process, how many requests had begun when it did not know; and when a read was answered.
        self._in_doubt: dict[int, tuple[Callable[[], int], int]] = {}
        self._read_at: dict[int, float] = {}
        # By process, from when until when nothing may begin; and, by batchUuid, another batch that was given the same one.
        self._waits: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
        self._same_uuid: dict[str, tuple[Batch, int, float]] = {}
        self._rng = world.stream("service")
        self._uuids = world.stream("uuids")
        self._results = world.stream("results")
        self._probes = world.stream("probes")

    def kept(self) -> dict[str, Any]:
        """Returns a copy of the books, for `back_to`."""
        # Nothing else of a batch changes.
        polls = [(batch, batch.polls, batch.is_found, batch.gone, batch.odd) for batch in self.batches.values()]
        return {**{name: copy(getattr(self, name)) for name in _BOOKS}, "polls": polls}

    def back_to(self, kept: dict[str, Any]) -> None:
        """Makes the books again what they were."""
        for name in _BOOKS:
            setattr(self, name, copy(kept[name]))
        self.batches = {batch.uuid: batch for batch, *_ in kept["polls"]}
        for batch, polls, is_found, gone, odd in kept["polls"]:
            batch.polls, batch.is_found, batch.gone, batch.odd = polls, is_found, gone, odd
        self.siblings.clear()
        self._in_doubt.clear()
        self._read_at.clear()
        self._waits.clear()
        self._same_uuid.clear()
        self.refused_tokens.clear()

    def doubts(self, pid: int, begun: Callable[[], int]) -> None:
        """A process does not know whether a batch was taken: it may begin no other one before a read is answered.

        Args:
            pid: the process.
            begun: returns how many requests it has begun to send.
        """
        # The answer to a read may just arrive.
        if self.world.seconds - self._read_at.get(pid, -_UNDER_WAY) >= _UNDER_WAY:
            self._in_doubt.setdefault(pid, (begun, begun()))

    def trusts(self, pid: int) -> None:
        """A process begins anew."""
        self._in_doubt.pop(pid, None)

    def strikes(self, *faults: str) -> str | None:
        """Returns a fault that strikes now, or None."""
        # The same draws whatever is enabled, so that a fault can be taken out of a story.
        luck, which = self._rng.random(), self._rng.random()
        possible = [fault for fault in faults if fault in self.enabled]
        self.asked += 1
        if self.is_well or not possible or luck >= self.odds or (self.only is not None and self.asked not in self.only):
            return None
        self.struck_at.append(self.asked)
        fault = possible[int(which * len(possible))]
        self.struck[fault] += 1
        self.world.note(f"service: {fault}")
        return fault

    # --- bytes ----------------------------------------------------------------------------------------------------------------

    def received(self, connection: Connection, data: bytes) -> None:
        """Bytes of a client have arrived."""
        memory = connection.memory
        buffer: bytearray = memory.setdefault("buffer", bytearray())
        buffer += data
        while not connection.server_closed:
            if "request" not in memory:
                head, found, rest = bytes(buffer).partition(b"\r\n\r\n")
                if not found:
                    return
                memory["request"] = self._head(head)
                buffer[:] = rest
                if memory["request"].method != "GET":
                    self._begins(connection.process.pid, memory["request"])
                    memory["fault"] = self.strikes("reset_in_body", "early_answer")
                    if memory["fault"] == "early_answer":
                        self._answer(connection, 202, {"message": "stale"})
            request: _Request = memory["request"]
            if memory.get("fault") == "reset_in_body":
                connection.close_server(reset=True)
                return
            if request.size is None:
                body = _chunked(bytes(buffer))
                if body is None:
                    return
                request.body, rest = body
                buffer[:] = rest
            else:
                if len(buffer) < request.size:
                    return
                request.body = bytes(buffer[: request.size])
                del buffer[: request.size]
            del memory["request"]
            self._handle(connection, request)
            memory.pop("fault", None)

    def _begins(self, pid: int, request: _Request) -> None:
        if pid in self._in_doubt and not request.path.endswith("/token"):
            begun, before = self._in_doubt[pid]
            if begun() > before:
                self.hasty.append(f"process {pid} begins a batch after an unknown one, and no read was answered")
        if not request.path.endswith("/token"):
            waits = [until for since, until in self._waits[pid] if since <= self.world.seconds < until]
            self.impatient += [
                f"process {pid} begins a batch, and was asked to wait for {until - self.world.seconds:.1f} s more" for until in waits
            ]

    def closed(self, connection: Connection) -> None:
        """The client has closed."""
        connection.server_closed = True

    def _head(self, head: bytes) -> _Request:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers["content-length"]) if "content-length" in headers else (None if "transfer-encoding" in headers else 0)
        split = urlsplit(target)
        return _Request(method, unquote(split.path), parse_qs(split.query), headers, size)

    def _answer(
        self, connection: Connection, status: int, value: Any, *, headers: str = "", cut: bool = False, is_page: bool = False
    ) -> None:
        body = _JSON.encode(value).encode() if value is not None else b""
        body = value.encode() if is_page else body
        date = _date(int(round(1_700_000_000 + self.world.seconds + self.world.service, 6)))
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'Odd')}\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        self.world.note(f"service: answers {status} on connection {connection.number}")
        if cut:
            connection.send(head.encode() + body[: len(body) // 2])
            connection.close_server(reset=bool(self._rng.getrandbits(1)))
        else:
            connection.send(head.encode() + body)

    def _later(self, connection: Connection, seconds: float, status: int, value: Any) -> None:
        self.world.after(seconds, lambda: None if connection.server_closed else self._answer(connection, status, value))

    # --- requests -------------------------------------------------------------------------------------------------------------

    def _handle(self, connection: Connection, request: _Request) -> None:
        self.world.note(f"service: {request.method} {request.path} came whole on connection {connection.number}")
        if request.path.endswith("/token"):
            if (fault := self.strikes("token_fails", "token_not_found")) is not None:
                self._answer(connection, 404 if fault == "token_not_found" else 503, {})
            else:
                is_short = SHORT_TOKENS in self.enabled
                if is_short:
                    self.struck[SHORT_TOKENS] += 1
                token = f"token-{self.world.seconds}" if OLD_TOKENS in self.enabled else "token"
                self._answer(connection, 200, {"access_token": token, "expires_in": 5 if is_short else 100_000, "token_type": "Bearer"})
        elif self._has_old_token(connection, request):
            self._answer(connection, 401, {})
        elif request.method == "POST":
            self._write(connection, request)
        elif "/batches/" in request.path:
            self._poll(connection, request.path.rpartition("/")[2].lower())
        elif "/documents/" in request.path:
            self._look_up(connection, request.path.partition("/documents/")[2])
        elif PROBE_FAILS in self.enabled and not self.is_well and self._probes.random() < _PROBE_FAILS:
            self.struck[PROBE_FAILS] += 1
            self._answer(connection, 503, {})
        else:
            self._read_at[connection.process.pid] = self.world.seconds
            self._in_doubt.pop(connection.process.pid, None)
            self._answer(connection, 200, {"documents": []})

    def _has_old_token(self, connection: Connection, request: _Request) -> bool:
        """Whether the token of a request is refused, though it said that it was good for longer."""
        token = request.headers.get("authorization", "").partition(" ")[2]
        given = token.partition("-")[2]
        if not given or self.is_well or self.world.seconds - float(given) < _LIFE:
            return False
        self.struck[OLD_TOKENS] += 1
        self.refused_tokens[connection.process.pid].add(token)
        return True

    def _write(self, connection: Connection, request: _Request) -> None:
        self.writes += 1
        self.elsewhere += not request.path.startswith("/arm/")
        fault = self.strikes(
            "reset_before", "reset_after", "silence_before", "silence_after", "slow_answer", "status_before", "status_after",
            "proved_refusal", "cut_answer", "no_uuid", "repeated_uuid", "cached_answer", "extra_answer", "redirect",
            "odd_status_after", "overload", "bad_data", "asked_to_wait", "late_intake",
        )  # fmt: skip
        draw = self._rng.random()
        if fault == "overload":
            self.overloaded_until = self.world.seconds + (20.0, 200.0, 400.0, 50_000.0)[int(draw * 4)]
        if self.world.seconds < self.overloaded_until and not self.is_well:
            wait = (0, 1, 1, 80_000)[int(draw * 16) % 4]
            self._ask_to_wait(connection, wait)
        elif fault == "asked_to_wait":
            self._ask_to_wait(connection, (5, 20, 60)[int(draw * 3)])
        elif fault == "late_intake":
            # A sender that has given up has closed the connection.
            self.world.after(draw * 50, lambda: None if connection.server_closed else self._take(request))
        elif not self._is_stopped(connection, fault, draw):
            if BAD_DOCUMENT in self.enabled and not self.is_well and any(is_bad(name_of(record)) for record in _records(request)[1]):
                self.struck[BAD_DOCUMENT] += 1
                self._answer(connection, (400, 422)[int(draw * 2)], {})
            else:
                self._after_taking(connection, self._take(request), fault, draw)

    def _is_stopped(self, connection: Connection, fault: str | None, draw: float) -> bool:
        """Whether a write comes to its end here, answered or not, and nothing of it is taken."""
        if fault == "reset_before":
            connection.close_server(reset=True)
        elif fault == "silence_before":
            pass
        elif fault == "status_before":
            self._answer(connection, (500, 502, 503, 504, 408, 409, 425)[int(draw * 7)], {})
        elif fault == "proved_refusal":
            status = (429, 413, 401, 400, 422)[int(draw * 5)]
            if status == 429:
                self._ask_to_wait(connection, 1)
            else:
                self._answer(connection, status, {})
        elif fault == "bad_data":
            self._answer(connection, (413, 413, 400, 422)[int(draw * 4)], {})
        elif fault == "redirect":
            self._answer(connection, 302, {}, headers="Location: /elsewhere\r\n")
        elif fault == "cached_answer" and self.knows_senders and (others := self._known_to_senders("")):
            # A cache in between lets nothing through. Once a journal was put back, nobody could tell.
            self._answer(connection, 202, {"batchUuid": others[int(draw * len(others))], "message": "accepted"})
        else:
            return False
        return True

    def _ask_to_wait(self, connection: Connection, seconds: int) -> None:
        self._answer(connection, 429, {}, headers=f"Retry-After: {seconds}\r\n" if seconds else "")
        if connection.memory.get("fault") != "early_answer":
            # Else it is read as the answer to nothing.
            self._waits[connection.process.pid].append((self.world.seconds + _UNDER_WAY, self.world.seconds + seconds))

    def _after_taking(self, connection: Connection, uuid: str, fault: str | None, draw: float) -> None:
        answer = {"batchUuid": uuid, "message": "accepted"}
        if fault == "reset_after":
            connection.close_server(reset=True)
        elif fault == "silence_after":
            pass
        elif fault == "slow_answer":
            self._later(connection, draw * 200, 202, answer)
        elif fault == "status_after":
            self._answer(connection, (500, 502, 503, 504)[int(draw * 4)], {})
        elif fault == "odd_status_after":
            self._answer(connection, _IN_DOUBT[int(draw * len(_IN_DOUBT))], {})
        elif fault == "cut_answer":
            self._answer(connection, 202, answer, cut=True)
        elif fault == "no_uuid":
            self._answer(connection, 202, {"message": "accepted"})
        elif fault == "repeated_uuid" and (others := self._known_to_senders(uuid)):
            given = others[int(draw * len(others))]
            self._same_uuid[given] = self.batches[uuid], connection.process.pid, self.world.seconds + _HEARD
            # The same in other letters, too.
            is_upper = "swapped_result" in self.enabled and draw < 0.5
            self._answer(connection, 202, {**answer, "batchUuid": given.upper() if is_upper else given})
        else:
            self._answer(connection, 202, answer)
            if fault == "extra_answer":
                others = sorted(one for one in self.batches if one == uuid or not self._hides_its_failures(self.batches[one]))
                self._later(connection, draw * 3, 202, {**answer, "batchUuid": others[int(draw * len(others))]})

    def _hides_its_failures(self, batch: Batch) -> bool:
        """Whether its result would make another batch fail that is given its batchUuid first: nobody could know that this one was taken."""
        has_names = not {"other_result", "rare_result"} & self.enabled
        return not batch.polls and any(not has_names or batch.records[at].get("documentNo") is None for at in batch.failed)

    def _known_to_senders(self, uuid: str) -> list[str]:
        """The batchUuids of other batches that their senders asked for: one that was lost with its sender, nobody can know again."""
        return sorted(batch.uuid for batch in self.batches.values() if batch.uuid != uuid and batch.polls)

    def _take(self, request: _Request) -> str:
        body, records = _records(request)
        self.most_records, self.most_bytes = max(self.most_records, len(records)), max(self.most_bytes, len(body))
        self._sent_again(records)
        uuid = f"{self._uuids.getrandbits(64):016x}-{len(self.batches)}"
        # A service that is well has it done when it is first asked.
        processing = self._rng.random() ** 2 * (0.5 if self.is_well else 2)
        if self.strikes("slow_processing"):
            # With the lag below, less than the time to settle: nobody can tell what is processed later from what never came.
            processing = self._rng.random() * 0.75 * self.deadline
        now = self.world.seconds
        batch = Batch(uuid, records, now, now + processing)
        for position, record in enumerate(records):
            name = name_of(record)
            self.bodies[name] = record
            if self.strikes("record_fails"):
                # The result says so: it may be sent again.
                batch.failed.add(position)
                self.failed.add(name)
            else:
                self.taken[name] += 1
                lag = self._rng.random() * 30 if self.strikes("look_up_lags") else 0.0
                if BLIND_TO_BLANKS not in self.enabled or str(record.get("documentNo")).strip() == str(record.get("documentNo")):
                    self.stored_at.setdefault(name, now + processing + lag)
        self.batches[uuid] = batch
        self.world.note(f"service: takes {', '.join(name_of(record) for record in records)} as {uuid}")
        return uuid

    def _sent_again(self, records: list[dict[str, Any]]) -> None:
        """A batch that was taken in part was taken: what is not found of it is not sent again."""
        names = {name_of(record) for record in records}
        for batch in self.batches.values():
            if batch.is_found and not batch.polls:
                failed = {name_of(batch.records[position]) for position in batch.failed}
                self.siblings += sorted(name for name in failed & names if name.startswith("number "))

    def _poll(self, connection: Connection, uuid: str) -> None:
        batch = self.batches.get(uuid)
        if batch is None:
            self._answer(connection, 404, {})
            return
        batch.polls += 1
        fault = self.strikes(
            "poll_fails", "poll_odd", "result_gone", "slow_answer", "other_result", "rare_result",
            "partly_done", "odd_result", "swapped_result",
        )  # fmt: skip
        if fault == "poll_fails" or (RESULTS_AWAY in self.enabled and not self.is_well):
            self._answer(connection, 503, {})
        elif fault == "poll_odd":
            batch.odd += 1
            self._answer(connection, 200, {"status": "ODD", "batchUuid": uuid})
        elif fault == "result_gone":
            batch.gone += 1
            self._answer(connection, 404, {})
        elif self.world.seconds < batch.done_at:
            self._later(connection, 20.0 if fault == "slow_answer" else 0.0, 202, {"status": "PENDING", "batchUuid": uuid})
        elif fault == "other_result":
            self._answer(connection, *self._other_result(batch))
        elif fault == "rare_result":
            self._answer(connection, *rare_result(batch.uuid, batch.records, batch.failed, self._results.random()))
        elif fault == "odd_result":
            self._answer(connection, *odd_result(batch.uuid, batch.records, batch.failed, self._results.random()))
        elif fault == "partly_done":
            result = self._result(batch)
            some = int(self._results.random() * len(batch.records))
            pending = [{**entry, "status": "PENDING"} for entry in result["documents"][some:]]
            self._answer(connection, 200, {**result, "status": "PENDING", "documents": [*result["documents"][:some], *pending]})
        elif fault == "swapped_result" and (other := self._of_the_other(connection, uuid)) is not None:
            word = "PARTIAL" if other.failed else "SUCCEEDED"
            self._answer(connection, 200, {"batchUuid": uuid, "status": word, "numberRecordsFailed": len(other.failed)})
        else:
            self._answer(connection, 200, self._result(batch))

    def _of_the_other(self, connection: Connection, uuid: str) -> Batch | None:
        """The other batch that was given a batchUuid, where its sender asks and has heard that answer."""
        other, pid, since = self._same_uuid.get(uuid, (None, 0, 0.0))
        return other if pid == connection.process.pid and self.world.seconds >= since else None

    def is_gone(self, name: str) -> bool:
        """Whether the result of a batch with a document was gone more than once, or when it was asked for the last time: one that is
        accepted just now may not be there yet."""
        of_it = [batch for batch in self.batches.values() if name in map(name_of, batch.records)]
        return any(batch.gone > 1 or (batch.gone and self.world.seconds >= batch.taken_at + self.deadline) for batch in of_it)

    def _other_result(self, batch: Batch) -> tuple[int, Any]:
        """The same result in another form: each is true, and most say less."""
        form = int(self._rng.random() * 8)
        result = self._result(batch)
        entries, failed = result["documents"], [result["documents"][position] for position in sorted(batch.failed)]
        good = [entry for position, entry in enumerate(entries) if position not in batch.failed]
        if form == 0:
            return 200, {**result, "status": "DONE", "documents": []}
        if form == 1:
            # The word for the whole is of the batch, and what failed is listed.
            return 200, {"batchUuid": batch.uuid, "status": "SUCCEEDED", "documents": failed}
        if form == 2:
            return 200, {"batchUuid": batch.uuid, "status": "SUCCEEDED", "numberRecordsFailed": len(failed)}
        if form == 3:
            return 200, {"batchUuid": batch.uuid, "status": "SUCCEEDED", "numberRecordsSucceeded": len(good)}
        if form == 4:
            return 206 if failed else 200, {"batchUuid": batch.uuid, "status": "SUCCEEDED"}
        if form == 5 and len(good) > 1:
            # Without an entry, nothing would say that some are left out.
            return 200, {"batchUuid": batch.uuid, "status": "SUCCEEDED", "documents": good[1:]}
        if form == 6:
            numbers = [[one["documentNo"] for one in some if one["documentNo"] is not None] for some in (good, failed)]
            data = {"succeeded": numbers[0], "failed": numbers[1]}
            return 200, {"summary": {"status": "PARTIAL" if failed else "SUCCEEDED", "failed": len(failed)}, "data": data}
        return 200, {**result, "status": "SUCCEEDED"}

    def _result(self, batch: Batch) -> Any:
        items = [
            {"documentNo": record.get("documentNo"), "status": "FAILED" if position in batch.failed else "SUCCEEDED"}
            for position, record in enumerate(batch.records)
        ]
        return {"batchUuid": batch.uuid, "status": "PARTIAL" if batch.failed else "SUCCEEDED", "documents": items}

    def _look_up(self, connection: Connection, number: str) -> None:
        name = f"number {number}".casefold()
        stored = self.stored_at.get(name)
        blind = next((one for one in (BLIND, BLIND_TO_SLASHES, BLIND_TO_LONG) if one in self.enabled), None)
        if blind == BLIND or (blind == BLIND_TO_SLASHES and "/" in number) or (blind == BLIND_TO_LONG and len(number) > _LONG):
            self.struck[blind] += 1
            self._answer(connection, 404, {"message": "no such document"})
        elif self.unanswered_until.get(name, 0.0) > self.world.seconds and not self.is_well:
            self._answer(connection, 503, {})
        elif (fault := self.strikes("look_up_fails", "look_up_odd")) == "look_up_odd":
            self._odd_look_up(connection, name)
        elif fault:
            self.unanswered_until[name] = self.world.seconds + self._rng.choice((0.0, _UNANSWERED))
            self._answer(connection, 503, {})
        elif stored is None or stored > self.world.seconds:
            self._answer(connection, 404, {"message": "no such document"})
        else:
            for batch in self.batches.values():
                taken = (record for position, record in enumerate(batch.records) if position not in batch.failed)
                batch.is_found |= any(name_of(record) == name for record in taken)
            self._answer(connection, 200, self.bodies[name])

    def _odd_look_up(self, connection: Connection, name: str) -> None:
        """Answers a look-up with something that says nothing of the document, whether it is there or not."""
        draw = self._rng.random()
        other = next((self.bodies[one] for one in self.stored_at if one != name and "documentNo" in self.bodies[one]), None)
        if draw < 0.4:
            self._answer(connection, 404, "<html>no such page</html>", is_page=True)
        elif draw < 0.7 and other is not None:
            self._answer(connection, 200, other)
        else:
            self._answer(connection, (200, 400, 409, 422, 500)[int(draw * 1000) % 5], {})


@dataclass
class _Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    size: int | None
    body: bytes = b""


def _records(request: _Request) -> tuple[bytes, list[dict[str, Any]]]:
    """The body of a write, decompressed, and its records."""
    body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
    return body, json.loads(body, parse_float=Decimal)["documents"]


def _chunked(data: bytes) -> tuple[bytes, bytes] | None:
    """Returns the body in chunks and what follows it; None where it is not whole."""
    body = b""
    while True:
        size, found, data = data.partition(b"\r\n")
        if not found:
            return None
        length = int(size, 16)
        if len(data) < length + 2:
            return None
        body += data[:length]
        data = data[length + 2 :]
        if not length:
            return body, data


Refuses = Callable[[], bool]
