"""Settings: frozen value objects, each checked when it is made, so that what can't work is refused before anything is sent."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from .compression import INSTALL_ZSTD, Compression, has_zstd
from .errors import ConfigurationError

__all__ = [
    "STAGING",
    "BatchWords",
    "BulkOptions",
    "Limits",
    "Reconcile",
    "RetryPolicy",
    "Timeout",
    "check_int",
    "check_origin",
    "environment",
]

STAGING: Final = "https://api.staging.amili.no/arm/v1"
"""The staging service, as the samples of the public pages name it. The address of the production service is on no public page."""

_PORTS: Final = {"http": 80, "https": 443}


def check_number(name: str, value: object, *, above: float | None = None, least: float | None = None) -> None:
    """Refuses what is not a finite number above `above` or of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigurationError(f"{name} must be a finite number, not {type(value).__name__}")
    if above is not None and not value > above:
        raise ConfigurationError(f"{name} must be above {above:g}, and is {value:g}")
    if least is not None and not value >= least:
        raise ConfigurationError(f"{name} must be at least {least:g}, and is {value:g}")


def check_int(name: str, value: object, *, least: int, most: int | None = None, why: str = "") -> None:
    """Refuses what is not an integer from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} must be an integer, not {type(value).__name__}")
    if value < least or (most is not None and value > most):
        span = f"from {least} to {most}" if most is not None else f"at least {least}"
        raise ConfigurationError(f"{name} must be {span}, and is {value}{': ' + why if why else ''}")


def _check_word(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{name} must be one of {', '.join(map(repr, allowed))}")


def _is_storable(text: str) -> bool:
    """Whether a text can be written down: it has no NUL and no half of a surrogate pair."""
    return "\0" not in text and text == text.encode("utf-8", "replace").decode()


def is_loopback(host: str) -> bool:
    """True where `host` is this machine: plain http is allowed there and nowhere else."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_origin(name: str, url: object) -> str:
    """The address in one spelling: scheme and host in small letters, without the port that goes without saying, without a slash at its end.

    What was sent to it is known by that. Refuses what is no http address, plain http off this machine, and credentials in it.
    """
    if not isinstance(url, str) or not url:
        raise ConfigurationError(f"{name} must be an address such as {STAGING!r}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(f"{name} is no address: its host or port can't be read") from None
    if any(mark.isspace() or not mark.isprintable() for mark in url):
        raise ConfigurationError(f"{name} holds a blank or a control character")
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"{name} must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None or "?" in url or "#" in url:
        raise ConfigurationError(f"{name} may hold a scheme, a host, a port and a path, nothing else")
    if any(part in {".", ".."} for part in parts.path.split("/")):
        raise ConfigurationError(f"{name} holds '.' or '..' in its path: write the path itself")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"{name} is plain http: a token would go over the wire in the clear. Use https://")
    return f"{parts.scheme}://{_netloc(host, port if port != _PORTS[parts.scheme] else None)}{parts.path}".rstrip("/")


def _netloc(host: str, port: int | None) -> str:
    if not host.isascii():
        with contextlib.suppress(UnicodeError):
            host = host.encode("idna").decode()
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long a call may take, in seconds.

    Attributes:
        connect: to get a connection: name look-up, TCP and TLS. Default 10.
        read: between two pieces of an answer, and for the server to take a piece of the body. Default 60.
        exchange: for one request and its answer, from the connection to the last byte, so that an answer that comes in drops ends too.
            While the body leaves it begins anew with each piece that the server takes: a slow upload is bounded by `read` alone. A bulk
            run gives a request no longer than what is left of its deadline or patience, but always the time of `read`. Default None:
            ten times `read`.
        total: for the whole call, retries and waiting included; in a bulk run for each request. Default None: no limit.
    """

    connect: float = 10.0
    read: float = 60.0
    total: float | None = None
    exchange: float | None = None

    def __post_init__(self) -> None:
        check_number("Timeout.connect", self.connect, above=0)
        check_number("Timeout.read", self.read, above=0)
        if self.total is not None:
            check_number("Timeout.total", self.total, above=0)
        if self.exchange is not None:
            check_number("Timeout.exchange", self.exchange, above=0)

    @property
    def exchange_seconds(self) -> float:
        """Seconds of `exchange`, also where it was not given."""
        return self.exchange if self.exchange is not None else 10 * self.read

    def within(self, seconds: float) -> Timeout:
        """Returns the same time-outs with a shorter `exchange`.

        Args:
            seconds: the most that one exchange may take; where `read` is longer, that counts.

        Returns:
            A copy with that `exchange`.
        """
        return replace(self, exchange=min(self.exchange_seconds, max(self.read, seconds)))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon a call is tried again; what is never tried again is not a setting: see docs/errors.md.

    Attributes:
        attempts: tries of one call in all, the first included. Default 5. A bulk run is bounded by `BulkOptions.patience`
            instead; `attempts=1` there too means that what may have left is never sent again.
        base_delay: seconds before the first repeat; doubles each time, with random jitter down to half. Default 0.5.
        max_delay: the longest wait in seconds. A `Retry-After` beyond it makes a single call raise. Default 30.
    """

    attempts: int = 5
    base_delay: float = 0.5
    max_delay: float = 30.0

    def __post_init__(self) -> None:
        check_int("RetryPolicy.attempts", self.attempts, least=1)
        check_number("RetryPolicy.base_delay", self.base_delay, least=0)
        check_number("RetryPolicy.max_delay", self.max_delay, least=0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, its views and all its bulk runs together may have under way.

    Attributes:
        connections: requests on the wire at once. Default 32.
        bytes_in_flight: bytes of bodies on the wire at once, as they go over it; a single larger body goes alone. Default 64,000,000.
        open_batches: batches accepted and not yet known to be processed. Default 200.
    """

    connections: int = 32
    bytes_in_flight: int = 64_000_000
    open_batches: int = 200

    def __post_init__(self) -> None:
        check_int("Limits.connections", self.connections, least=1)
        check_int("Limits.bytes_in_flight", self.bytes_in_flight, least=1)
        check_int("Limits.open_batches", self.open_batches, least=1)


def _words(*words: str) -> frozenset[str]:
    return frozenset(word.casefold() for word in words)


_KNOWN_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "pending": _words("NOT-PROCESSED", "PENDING", "PROCESSING", "IN-PROGRESS", "QUEUED", "WAITING", "RUNNING", "STARTED", "ACCEPTED"),
    "succeeded": _words("SUCCESS", "SUCCEEDED", "SUCCESSFUL", "OK", "CREATED", "UPDATED"),
    "failed": _words("FAILED", "FAILURE", "FAIL", "ERROR", "REJECTED", "BATCH-REJECTED", "INVALID", "NOT-OK"),
    "partial": _words(
        "PARTIAL", "PARTIALLY", "PARTIAL-SUCCESS", "PARTIALLY-SUCCEEDED", "PARTIALLY-PROCESSED", "PARTLY-PROCESSED", "PARTIAL-CONTENT"
    ),
    "done": _words("PROCESSED", "COMPLETED", "COMPLETE", "FINISHED", "DONE"),
}


@dataclass(frozen=True, slots=True)
class BatchWords:
    """What the words of a batch result mean: an assumption, in one table, that you can replace.

    The public pages show only `NOT-PROCESSED` and `PENDING`, in the 202 of
    https://docs.amili.dev/post-create-a-batch-of-documents-3942668e0; the final words are on no public page. Words are compared
    without case ("Data values are not case-sensitive", https://docs.amili.dev/about-355476m0). A word that is in no set never counts
    as success. A word that you put into one set is taken out of the defaults of the others: `BatchWords(succeeded={"PROCESSED"})` says
    that it means success for your account.

    Attributes:
        pending: not processed yet: wait.
        succeeded: processed, and it speaks for the record or the batch.
        failed: processed, and it speaks against it.
        partial: processed; some records made it and some did not.
        done: processed; how it ended is not said. A batch or a record with no other word is not waited for, and is no success.
    """

    pending: frozenset[str] = _KNOWN_WORDS["pending"]
    succeeded: frozenset[str] = _KNOWN_WORDS["succeeded"]
    failed: frozenset[str] = _KNOWN_WORDS["failed"]
    partial: frozenset[str] = _KNOWN_WORDS["partial"]
    done: frozenset[str] = _KNOWN_WORDS["done"]

    def __post_init__(self) -> None:
        given: dict[str, str] = {}
        for name, default in _KNOWN_WORDS.items():
            value: object = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise ConfigurationError(f"BatchWords.{name} must be a set of words")
            words = frozenset(str(word).casefold() for word in value)
            object.__setattr__(self, name, words)
            for word in words if words != default else ():
                if word in given:
                    raise ConfigurationError(f"BatchWords: {word!r} is both {given[word]} and {name}")
                given[word] = name
        for name in _KNOWN_WORDS:
            moved = {word for word, other in given.items() if other != name}
            object.__setattr__(self, name, getattr(self, name) - moved)

    def meaning(self, word: str) -> Literal["pending", "succeeded", "failed", "partial", "done"] | None:
        """Returns the name of the set that holds a word.

        Args:
            word: a status word of a batch result; case does not matter.

        Returns:
            The name of the set, or None where no set holds it.
        """
        word = word.casefold()
        if word in self.succeeded:
            return "succeeded"
        if word in self.done:
            return "done"
        if word in self.failed:
            return "failed"
        if word in self.pending:
            return "pending"
        return "partial" if word in self.partial else None


@dataclass(frozen=True, slots=True)
class Reconcile:
    """How documents are looked up whose fate nobody knows, or that the result of their batch does not explain.

    Attributes:
        settle: seconds that must have passed since a document was sent before it is looked up: one that is not there then won't come
            any more. Two clocks at least must say so; where they can't, it is waited anew. Default None: the run's `deadline`, or the
            slowest batch of the run where that was longer, and a tenth more.
        resend_absent: send again what has a number, was not found, has no sibling of its batch that was found, and whose answer was
            no 2xx. Then `settle` must be longer than the run's `deadline`. A batch is only sent again where for each of its numbers a
            document of the run is found whose number has the same form: else look-ups of such numbers may not work. Default False.
        concurrency: documents looked up side by side. Default 4.
    """

    settle: float | None = None
    resend_absent: bool = False
    concurrency: int = 4

    def __post_init__(self) -> None:
        if self.settle is not None:
            check_number("Reconcile.settle", self.settle, least=0)
        if not isinstance(self.resend_absent, bool):
            raise ConfigurationError("Reconcile.resend_absent must be True or False")
        check_int("Reconcile.concurrency", self.concurrency, least=1)

    def check_against(self, deadline: float) -> None:
        """Refuses to resend documents while their batch may still be processed.

        Args:
            deadline: seconds after which the run stops waiting for the result of a batch.

        Raises:
            ConfigurationError: `resend_absent` is set and `settle` is not longer than `deadline`.
        """
        if self.resend_absent and self.settle is not None and self.settle <= deadline:
            raise ConfigurationError(
                f"settle={self.settle:g} is not longer than the run's deadline of {deadline:g} s: a document that is still being "
                "processed would be sent a second time. Give a longer settle, or none"
            )


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """How a bulk run cuts, sends and waits.

    Attributes:
        max_records: records in a batch at the most. Default 1000. (The public pages name no limit.)
        max_bytes: bytes of a request body at the most, before it is compressed. Default 1,000,000.
        concurrency: batches sent side by side at the most. Default None: found by itself. A run begins with 8, tries more (32 at the
            most) while that brings more through, then fewer while it brings no less, and stays there. On 429 and 503 the number goes
            down in any case, and comes back.
        results: `"wait"` (default) until each batch is processed, or `"accepted"`: done when the server has taken it.
        poll_first: seconds from the 202 to the first question for the result. Default 1.
        poll_max: seconds between two questions at the most (before the first, too). Default 30.
        deadline: seconds from a batch's 202 after which its result is no longer waited for; it is asked for once more then.
            Default 3600.
        patience: seconds that the run waits for a server that says "later" (429, 503), can't be reached or does not answer,
            before it stops. Default 1800.
        bisect: what is done with a batch that is refused with 400 or 422: `"safe"` (default) looks for the bad record in safe
            writes only (customers), `"all"` in documents too, `"off"` rejects the whole batch.
        journal: path of a file (SQLite) in which the run is kept, so that the same call goes on after a crash; see
            docs/journal.md. Created with mode 0600; its directory must exist, on a disk of this machine. Default None.
        run_id: names the run in the journal: for example the date of the night. The same run_id goes on where it was; another one
            sends all documents that have no number again, and none whose number the journal knows as sent (see `resend_known`).
            Must be given for documents; customers without one begin a new run each time.
        dead_letter: path of a file that gets a line of JSON, payload included, for each record that did not make it. Created with
            mode 0600. Default None.
        reconcile: documents: at the end of the run, look up by number what became of those whose fate is not known: True, or a
            `Reconcile`. Needs a journal. Default False.
        resend_known: documents: send also those whose documentNo another run of the same journal has sent to the same address with the
            same client number. Else they are `invalid`, reason `sent_in_run`. Default False.
        require_document_no: documents: one without documentNo is `invalid`, and never sent: nothing could tell later what became
            of it. Default False.
        stop_after_failures: end the run when so many records are `failed`, `rejected`, `invalid` or `unknown`: an integer, or a
            share of the settled records between 0 and 1, which counts from the 100th on. The rest is `not_sent`. Default None.
        compression: how the body of a batch is compressed on its way, for slow uplinks: `"gzip"`, or `"zstd"`, which is smaller and
            quicker (before Python 3.14 it needs the extra `zstd`: `pip install "amili-arm-async[zstd]"`). An assumption: the public
            pages say nothing about `Content-Encoding`; use it only where Amili told you that the service takes it. `max_bytes` is
            about the body before it is compressed, `Limits.bytes_in_flight` and `Totals.bytes_sent` about what goes over the wire.
            Default None: nothing is compressed.
        on_progress: called with a `Progress` after each batch, and when the run has to wait for the server; must be quick, and must
            not raise.
    """

    max_records: int = 1000
    max_bytes: int = 1_000_000
    concurrency: int | None = None
    results: Literal["wait", "accepted"] = "wait"
    poll_first: float = 1.0
    poll_max: float = 30.0
    deadline: float = 3600.0
    patience: float = 1800.0
    bisect: Literal["safe", "all", "off"] = "safe"
    journal: str | os.PathLike[str] | None = field(default=None, repr=False)
    run_id: str | None = None
    dead_letter: str | os.PathLike[str] | None = field(default=None, repr=False)
    reconcile: Reconcile | bool = False
    resend_known: bool = False
    require_document_no: bool = False
    stop_after_failures: int | float | None = None
    compression: Compression | None = None
    on_progress: Callable[[Any], object] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_int("BulkOptions.max_records", self.max_records, least=1)
        check_int("BulkOptions.max_bytes", self.max_bytes, least=256)
        if self.concurrency is not None:
            check_int("BulkOptions.concurrency", self.concurrency, least=1)
        _check_word("BulkOptions.results", self.results, ("wait", "accepted"))
        _check_word("BulkOptions.bisect", self.bisect, ("safe", "all", "off"))
        check_number("BulkOptions.poll_first", self.poll_first, least=0)
        check_number("BulkOptions.poll_max", self.poll_max, above=0)
        check_number("BulkOptions.deadline", self.deadline, above=0)
        check_number("BulkOptions.patience", self.patience, least=0)
        if self.on_progress is not None and not callable(self.on_progress):
            raise ConfigurationError("BulkOptions.on_progress must be callable")
        self._check_files()
        self._check_failures()
        self._check_compression()

    def _check_files(self) -> None:
        for name in ("journal", "dead_letter"):
            path = getattr(self, name)
            if path is not None and (not isinstance(path, (str, os.PathLike)) or not os.fspath(path) or "\0" in os.fsdecode(path)):
                raise ConfigurationError(f"BulkOptions.{name} must be the path of a file")
        if self.run_id is not None and (not isinstance(self.run_id, str) or not self.run_id.strip() or not _is_storable(self.run_id)):
            raise ConfigurationError("BulkOptions.run_id must be a text that is not blank")
        if not isinstance(self.reconcile, (bool, Reconcile)):
            raise ConfigurationError("BulkOptions.reconcile must be True, False or a Reconcile")
        if self.journal is None and (self.run_id is not None or self.reconcile):
            raise ConfigurationError("BulkOptions.run_id and reconcile need a journal: journal='nightly.sqlite'")
        if isinstance(self.reconcile, Reconcile):
            self.reconcile.check_against(self.deadline)

    def _check_failures(self) -> None:
        for name in ("require_document_no", "resend_known"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"BulkOptions.{name} must be True or False")
        most = self.stop_after_failures
        if isinstance(most, float) and not 0 < most < 1:
            raise ConfigurationError("BulkOptions.stop_after_failures as a share must be between 0 and 1; as a number, an integer")
        if most is not None and not isinstance(most, float):
            check_int("BulkOptions.stop_after_failures", most, least=1)

    def _check_compression(self) -> None:
        if self.compression is None:
            return
        _check_word("BulkOptions.compression", self.compression, ("gzip", "zstd"))
        if self.compression == "zstd" and not has_zstd():
            raise ConfigurationError(f"BulkOptions.compression='zstd' needs Python 3.14 or a package: {INSTALL_ZSTD}")


_VARIABLES: Final = ("BASE_URL", "CLIENT_NO", "TOKEN", "CLIENT_ID", "CLIENT_SECRET", "IDENTITY_URL", "USER_ID", "LANGUAGE")


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The `AMILI_ARM_*` settings in `variables`, by their lower-case names; blank ones are left out."""
    found = {name.lower(): variables.get(f"AMILI_ARM_{name}", "").strip() for name in _VARIABLES}
    return {name: value for name, value in found.items() if value}
