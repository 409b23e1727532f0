"""Every fault that the server can commit, as data: how much it reads, whether it takes the records, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .http_server import Answer

__all__ = ["BEFORE_CONNECT", "DURING_ANSWER", "POINTS", "WHOLE_BODY", "WIRE_FAULTS", "WRITE_FAULTS", "WireFault"]

BEFORE_CONNECT = "before connect"
FIRST_BYTE = "after the first byte"
WHOLE_BODY = "after the whole body"
DURING_ANSWER = "during the answer"
AFTER_ANSWER = "after the answer"
POINTS = (BEFORE_CONNECT, FIRST_BYTE, WHOLE_BODY, DURING_ANSWER, AFTER_ANSWER)


@dataclass(frozen=True)
class WireFault:
    """What is done with one write.

    Attributes:
        point: where in the exchange it happens.
        says: what happens, in words; faults that say the same but for their `{status}` share a row of the table.
        reads: how much of the body is read.
        takes: whether its records are taken.
        late: they are taken only when the caller has gone away.
        ends: what follows: the answer, an RST, a FIN, nothing, or the answer in drops.
        answer: what is answered; None: the 202 that is due.
        after: what becomes of the connection after the answer: `another` answer comes, and nothing is read any more.
        lingers: reads the rest of the body after the answer.
        polls: how GET batch is answered for this batch, one word a question; the last one stays.
    """

    point: str
    says: str
    reads: Literal["nothing", "byte", "half", "all"] = "all"
    takes: bool = False
    late: bool = False
    ends: Literal["answer", "reset", "close", "stall", "drops"] = "answer"
    answer: Answer | None = None
    after: Literal["keep", "close", "reset", "another"] = "keep"
    lingers: bool = False
    polls: tuple[str, ...] = ()


def _status(status: int, says: str, *, point: str = WHOLE_BODY, headers: tuple[tuple[str, str], ...] = (), **more: Any) -> WireFault:
    return WireFault(point, says, answer=Answer(status, {"message": f"said {status}"}, headers), **more)


def _polls(says: str, *words: str, **more: Any) -> WireFault:
    return WireFault(AFTER_ANSWER, says, takes=True, polls=words, **more)


_ELSEWHERE = (("Location", "{elsewhere}/arm/v1/elsewhere"),)
_SOON = (("Retry-After", "0.05"),)

_AT_CONNECT: dict[str, WireFault] = {
    "refused": WireFault(BEFORE_CONNECT, "nothing listens on the port"),
    "connect_stalls": WireFault(BEFORE_CONNECT, "the connection is not accepted"),
    "tls_fails": WireFault(BEFORE_CONNECT, "the TLS handshake fails"),
    "token_503": WireFault(BEFORE_CONNECT, "the identity service answers 503"),
    "token_401": WireFault(BEFORE_CONNECT, "the identity service answers 401: the credentials are refused"),
    "token_404": WireFault(BEFORE_CONNECT, "the identity service answers 404"),
    "accept_reset": WireFault(BEFORE_CONNECT, "the connection is accepted and reset before a byte is read"),
    "accept_close": WireFault(BEFORE_CONNECT, "the connection is accepted and closed before a byte is read"),
}

_IN_BODY: dict[str, WireFault] = {
    "head_reset": WireFault(FIRST_BYTE, "reset when the headers are read", reads="nothing", ends="reset"),
    "byte_reset": WireFault(FIRST_BYTE, "reset after the first byte of the body", reads="byte", ends="reset"),
    "byte_close": WireFault(FIRST_BYTE, "closed after the first byte of the body", reads="byte", ends="close"),
    "byte_stall": WireFault(FIRST_BYTE, "silence after the first byte of the body, until the time-out", reads="byte", ends="stall"),
    "half_reset": WireFault(FIRST_BYTE, "reset in the middle of the body", reads="half", ends="reset"),
    "early_401": _status(401, "answered 401 before the body is read", point=FIRST_BYTE, reads="byte", lingers=True),
    "early_413": _status(413, "answered 413 before the body is read", point=FIRST_BYTE, reads="byte", lingers=True),
    "early_429": _status(429, "answered 429 before the body is read", point=FIRST_BYTE, reads="byte", lingers=True, headers=_SOON),
    "early_503": _status(503, "answered 503 before the body is read", point=FIRST_BYTE, reads="byte", lingers=True),
}

_AFTER_BODY: dict[str, WireFault] = {
    "body_reset": WireFault(WHOLE_BODY, "reset, not taken", ends="reset"),
    "body_close": WireFault(WHOLE_BODY, "closed, not taken", ends="close"),
    "body_stall": WireFault(WHOLE_BODY, "silence until the time-out, not taken", ends="stall"),
    "taken_reset": WireFault(WHOLE_BODY, "taken, then reset", takes=True, ends="reset"),
    "taken_close": WireFault(WHOLE_BODY, "taken, then closed", takes=True, ends="close"),
    "taken_stall": WireFault(WHOLE_BODY, "taken, then silence until the time-out", takes=True, ends="stall"),
    "taken_late": WireFault(WHOLE_BODY, "silence until the time-out, and taken after that", takes=True, late=True, ends="stall"),
    "400": _status(400, "answered 400 for one bad record"),
    "422": _status(422, "answered 422 for one bad record"),
    "401": _status(401, "answered 401: the token has expired"),
    "413": _status(413, "answered 413: the batch is too large"),
    "429": _status(429, "answered 429 with Retry-After", headers=_SOON),
    "429_bare": _status(429, "answered 429 without Retry-After"),
    **{str(status): _status(status, "answered {status}") for status in (403, 404, 405, 415)},
    **{str(status): _status(status, "answered {status}") for status in (406, 411, 414, 431)},
    **{str(status): _status(status, "answered {status}, not taken") for status in (408, 409, 425, 499, 500, 501, 502, 503, 504)},
    **{
        f"taken_{status}": _status(status, "taken, then answered {status}", takes=True)
        for status in (408, 409, 425, 499, 500, 502, 503, 504)
    },
    "503_wait": _status(503, "answered 503 with Retry-After, not taken", headers=_SOON),
    **{str(status): _status(status, "redirected with {status}, not taken", headers=_ELSEWHERE) for status in (301, 307, 308)},
    **{str(status): _status(status, "redirected with {status}, not taken", headers=_ELSEWHERE) for status in (302, 303)},
    "taken_302": _status(302, "taken, then redirected with {status}", takes=True, headers=_ELSEWHERE),
    "taken_303": _status(303, "taken, then redirected with {status}", takes=True, headers=_ELSEWHERE),
}

_HALF_202 = Answer(202, {"batchUuid": "half", "status": "NOT-PROCESSED"}, missing=40)


def _spoilt(says: str, answer: Answer, **more: Any) -> WireFault:
    return WireFault(DURING_ANSWER, f"taken; {says}", takes=True, answer=answer, **more)


_IN_ANSWER: dict[str, WireFault] = {
    "cut_status": _spoilt("the status line breaks off", Answer(raw=b"HTTP/1.1 20"), ends="close"),
    "cut_headers": _spoilt("the headers break off", Answer(raw=b"HTTP/1.1 202 Accepted\r\nContent-Le"), ends="close"),
    "cut_body": _spoilt("the 202 breaks off in its body", _HALF_202, ends="close"),
    "reset_body": _spoilt("reset in the body of the 202", _HALF_202, ends="reset"),
    "stall_body": _spoilt("silence in the body of the 202, until the time-out", _HALF_202, ends="stall"),
    "drops": WireFault(DURING_ANSWER, "taken; the 202 comes in drops", takes=True, ends="drops"),
    "no_uuid": _spoilt("202 without batchUuid", Answer(202, {"status": "NOT-PROCESSED", "result": "PENDING"})),
    "null_uuid": _spoilt("202 whose batchUuid is null", Answer(202, {"batchUuid": None})),
    "list_202": _spoilt("202 whose body is a list", Answer(202, [1, 2])),
    "broken_json": _spoilt("202 with broken JSON", Answer(202, b'{"batchUuid": "broken')),
    "not_utf8": _spoilt("202 that is no UTF-8", Answer(202, b"\xff\xfe{")),
    "empty_202": _spoilt("202 without a body", Answer(202)),
    "html_200": _spoilt("200 with a page in HTML", Answer(200, b"<html>it works</html>")),
    "204": _spoilt("204", Answer(204)),
    "bad_chunk": _spoilt(
        "a chunk of the 202 that can't be read",
        Answer(raw=b'HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"bat\r\nzz\r\nx'),
        ends="close",
    ),
    "bad_gzip": _spoilt("a 202 that says gzip and is none", Answer(202, b"this is no gzip", (("Content-Encoding", "gzip"),))),
    "not_http": _spoilt("an answer that is no HTTP", Answer(raw=b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), ends="close"),
}

_AFTER_ANSWER: dict[str, WireFault] = {
    "then_close": WireFault(AFTER_ANSWER, "closed after the 202", takes=True, after="close"),
    "then_reset": WireFault(AFTER_ANSWER, "reset after the 202", takes=True, after="reset"),
    "then_another": WireFault(AFTER_ANSWER, "a second, unsolicited 202 after the first", takes=True, after="another"),
    "poll_404_once": _polls("GET batch: 404 once", "404", "ok"),
    "poll_404": _polls("GET batch: 404", "404"),
    "poll_406": _polls("GET batch: 406", "406"),
    "poll_500": _polls("GET batch: 500 three times", "500", "500", "500", "ok"),
    "poll_429": _polls("GET batch: 429", "429", "ok"),
    "poll_reset": _polls("GET batch: reset", "reset", "ok"),
    "poll_stall": _polls("GET batch: silence until the time-out", "stall", "ok"),
    "poll_drops": _polls("GET batch: an answer in drops that does not end", "drops"),
    "poll_cut": _polls("GET batch: an answer that breaks off", "cut", "ok"),
    "poll_broken": _polls("GET batch: broken JSON", "broken", "ok"),
    "poll_202": _polls("GET batch: 202 for ever", "202"),
    "poll_word": _polls("GET batch: an unknown word", "word"),
    "poll_empty": _polls("GET batch: 200 that says nothing", "empty"),
    "poll_206": _polls("GET batch: 206 without entries", "206"),
    "poll_done": _polls("GET batch: done, without a word of success", "done"),
    "poll_count": _polls("GET batch: success, and a count of failures above 0", "count"),
    "poll_huge": _polls("GET batch: larger than 1 MB and 16 kB a record", "huge"),
    "poll_partial": _polls("GET batch: one of the records failed", "ok"),
    "poll_left_out": _polls("GET batch: one of the records is left out", "left_out"),
}

WRITE_FAULTS: dict[str, WireFault] = {
    **_IN_BODY,
    **_AFTER_BODY,
    **_IN_ANSWER,
    **{name: fault for name, fault in _AFTER_ANSWER.items() if not fault.polls},
}
"""Those of one write and its answer, over a connection that stands."""

WIRE_FAULTS: dict[str, WireFault] = {
    "ok": WireFault(WHOLE_BODY, "nothing", takes=True),
    **_AT_CONNECT,
    **_IN_BODY,
    **_AFTER_BODY,
    **_IN_ANSWER,
    **_AFTER_ANSWER,
}
