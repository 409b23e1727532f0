"""Settings: frozen value objects. Each is validated when it is made, so that what can't work is refused before anything is sent."""

from __future__ import annotations

import contextlib
import enum
import ipaddress
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from .compression import INSTALL_ZSTD, Compression, has_zstd
from .database.url import database_url
from .errors import ConfigurationError

__all__ = [
    "DEFAULT",
    "STAGING",
    "BatchWords",
    "BulkOptions",
    "Default",
    "Limits",
    "Reconcile",
    "RetryPolicy",
    "Timeout",
    "check_int",
    "check_origin",
]

STAGING: Final = "https://api.staging.amili.no/arm/v1"
"""The staging service, as the samples of the public pages name it. The address of the production service is on no public page."""


class Default(enum.Enum):
    """The type of `DEFAULT`."""

    DEFAULT = "default"

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.value


DEFAULT: Final = Default.DEFAULT
"""The value of a setting whose default is a rule, where None means something else: see `Timeout.total`."""

SINGLE_CALL_SECONDS: Final = 30.0
"""The seconds of `Timeout.total` for a single call, where it is `DEFAULT`."""

_PORTS: Final = {"http": 80, "https": 443}


def check_number(name: str, value: object, *, above: float | None = None, least: float | None = None) -> None:
    """Refuses what is not a finite number above `above`, or of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigurationError(f"{name} must be a finite number, not {type(value).__name__}")
    if above is not None and not value > above:
        raise ConfigurationError(f"{name} must be greater than {above:g}, not {value:g}")
    if least is not None and not value >= least:
        raise ConfigurationError(f"{name} must be at least {least:g}, not {value:g}")


def check_int(name: str, value: object, *, least: int, most: int | None = None, why: str = "") -> None:
    """Refuses what is not an integer from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} must be an integer, not {type(value).__name__}")
    if value < least or (most is not None and value > most):
        span = f"from {least} to {most}" if most is not None else f"at least {least}"
        raise ConfigurationError(f"{name} must be {span}, not {value}{': ' + why if why else ''}")


def _check_word(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{name} must be one of {', '.join(map(repr, allowed))}")


def is_storable(text: str) -> bool:
    """Tells whether a text can be stored: it has no NUL and no unpaired surrogate."""
    return "\0" not in text and text == text.encode("utf-8", "replace").decode()


def is_loopback(host: str) -> bool:
    """Tells whether `host` is this machine: plain http is allowed only there."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_origin(name: str, url: object) -> str:
    """Normalizes an address: scheme and host in lower case, no default port, no trailing slash.

    What was sent to an address is found again by this form.

    Args:
        name: the name of the setting, for messages.
        url: the address.

    Returns:
        The normalized address.

    Raises:
        ConfigurationError: it is not an http address, is plain http to another machine, or holds credentials.
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
        connect: to open a connection: name look-up, TCP and TLS. Default 10.
        read: between two pieces of a response, and for the server to accept a piece of the body. Default 60.
        exchange: for one request and its response, from the connection to the last byte, so that a response that trickles in ends, too.
            While the body is sent it starts again with each piece that the server accepts: a slow upload is bounded only by `read`. In a
            bulk run, a request takes no longer than what is left of the deadline or the patience, but always has the time of `read`.
            Default None: ten times `read`.
        total: for the whole call, including retries and waiting; in a bulk run, for each request. None: no limit. Default `DEFAULT`: 30
            seconds for each read, each page of a list and each write that is safe to repeat. Of a single write that is not safe to repeat,
            they bound only what comes before its first byte is sent; after that it may take as long as `read` says, so that its
            response is not missed. No limit for bulk runs, `batches.wait`, and uploads and downloads of files.
    """

    connect: float = 10.0
    read: float = 60.0
    total: float | Default | None = DEFAULT
    exchange: float | None = None

    def __post_init__(self) -> None:
        check_number("Timeout.connect", self.connect, above=0)
        check_number("Timeout.read", self.read, above=0)
        if self.total is not None and self.total is not DEFAULT:
            check_number("Timeout.total", self.total, above=0)
        if self.exchange is not None:
            check_number("Timeout.exchange", self.exchange, above=0)

    @property
    def exchange_seconds(self) -> float:
        """The seconds of `exchange`, also where it is None."""
        return self.exchange if self.exchange is not None else 10 * self.read

    @property
    def single_call_seconds(self) -> float | None:
        """The seconds of `total` for a single call; None: no limit."""
        return SINGLE_CALL_SECONDS if self.total is DEFAULT else self.total

    @property
    def given_total(self) -> float | None:
        """The seconds of `total` where they were given; None: no limit."""
        return None if self.total is DEFAULT else self.total

    def for_job(self) -> Timeout:
        """Returns the same time-outs for what may take long, such as a bulk run.

        Returns:
            A copy without a `total`, unless one was given.
        """
        return replace(self, total=self.given_total)

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
    """How often and how soon a call is retried. What is never retried is not a setting: see docs/errors.md.

    Attributes:
        attempts: attempts of one call, including the first. Default 5. A bulk run is bounded by `BulkOptions.patience` instead; there,
            too, `attempts=1` means that what may have been sent is never resent.
        base_delay: seconds before the first retry; they double each time, with random jitter down to half. Default 0.5.
        max_delay: the longest wait in seconds. A longer `Retry-After` makes a single call raise. Default 30.
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
    """How much one client, its views and all its bulk runs together may have in flight.

    Attributes:
        connections: requests in flight at once. Default 32.
        bytes_in_flight: bytes of request bodies in flight at once, as sent, so after compression; a larger body is sent alone.
            Default 64,000,000.
        open_batches: batches that are accepted and not yet known to be processed. Default 200.
        requests_per_second: requests to the API, retries and polls included, that begin in a second: one after the other at even intervals,
            never several at once. For an account with a known rate. Calls of the identity service do not count. Default None: no limit.
    """

    connections: int = 32
    bytes_in_flight: int = 64_000_000
    open_batches: int = 200
    requests_per_second: float | None = None

    def __post_init__(self) -> None:
        check_int("Limits.connections", self.connections, least=1)
        check_int("Limits.bytes_in_flight", self.bytes_in_flight, least=1)
        check_int("Limits.open_batches", self.open_batches, least=1)
        if self.requests_per_second is not None:
            check_number("Limits.requests_per_second", self.requests_per_second, above=0)


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
    """What the status words in a batch result mean: an assumption, in one table, that you can replace.

    The public pages show only `NOT-PROCESSED` and `PENDING`, in the 202 of
    https://docs.amili.dev/post-create-a-batch-of-documents-3942668e0; the final words are on no public page. Case does not matter ("Data
    values are not case-sensitive", https://docs.amili.dev/about-355476m0). A word that is in no set never counts as success. A word that
    you put into one set is removed from the defaults of the others: `BatchWords(succeeded={"PROCESSED"})` says that it means success for
    your account.

    Attributes:
        pending: not processed yet: the run waits.
        succeeded: processed; the record or the batch succeeded.
        failed: processed; the record or the batch failed.
        partial: processed; some records succeeded and some failed.
        done: processed, but not how it ended. A batch or a record with no other word is not waited for, and is no success.
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
    """How to look up documents whose outcome is unknown, or that the result of their batch does not explain.

    Attributes:
        settle: seconds since a document was sent before it is looked up: one that is not there by then will not appear later. At least two
            clocks must agree that they have passed; if they can't, it waits again. Default None: the run's `deadline`, or its slowest batch
            if that took longer, and a tenth more.
        resend_absent: resend a document that has a number and was not found, if no other document of its batch was found and its response
            was no 2xx. Then `settle` must be longer than the run's `deadline`. A batch is resent only if for each of its numbers a
            document of the run is found whose number has the same form; otherwise look-ups of such numbers may not work. Default False.
        concurrency: the number of concurrent look-ups. Default 4.
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
    """How a bulk run makes batches, sends them and waits for results.

    Attributes:
        max_records: the maximum number of records in a batch. Default 1000. (The public pages name no limit.)
        max_bytes: the maximum size of a request body in bytes, before compression. Default 1,000,000.
        concurrency: the maximum number of batches in flight at once. Default None: concurrency tunes itself. It starts at 8, doubles up
            to 32 while throughput improves, then backs off while throughput stays the same. With or without it, 429 and 503 lower the
            number for a while.
        results: `"wait"` (default): until each batch is processed; `"accepted"`: until the server has accepted it.
        poll_first: seconds from the 202 of a batch to the first poll for its result. Default 1.
        poll_max: the maximum number of seconds between two polls, and before the first. Default 30.
        deadline: seconds from the 202 of a batch after which the run stops waiting for its result; it polls once more then.
            Default 3600.
        patience: seconds that the run waits for a server that answers 429 or 503, can't be reached or does not respond, before it stops.
            Default 1800.
        bisect: what happens to a batch that is refused with 400 or 422: `"safe"` (default) bisects it to the bad record if it holds
            customers, `"all"` if it holds documents, too, `"off"` rejects the whole batch.
        journal: the path of a SQLite file, or the URL of a PostgreSQL database (`postgresql://host/database`), that records the run, so
            that the same call continues after a crash; see docs/journal.md. A file is created with mode 0600; its directory must exist, on
            a local disk. Default None.
        run_id: the name of the run in the journal, for example the date of the night. A call with the same run_id continues the run.
            Another run_id sends all documents without a number again, but none whose number the journal knows as sent (see
            `resend_known`). Required for documents with a journal; without it, customers begin a new run each time.
        dead_letter: the path of a file that gets a line of JSON, with the payload, for each record that did not succeed. It is created
            with mode 0600. Default None.
        reconcile: documents only: at the end of the run, look up by number those whose outcome is unknown. True, or a `Reconcile`. Needs
            a journal. Default False.
        resend_known: documents only: also send those whose documentNo another run in the same journal has sent to the same address and
            client number. Otherwise they are `invalid`, reason `sent_in_run`. Default False.
        require_document_no: documents only: one without documentNo is `invalid` and not sent, since its outcome could not be looked up
            later. Default False.
        stop_after_failures: ends the run when this many records are `failed`, `rejected`, `invalid` or `unknown`: an integer, or a share
            of the settled records between 0 and 1, which counts from the 100th on. The rest is `not_sent`. Default None: never.
        dry_run: do everything except send: read, check, encode and cut the source, and compare it with journal and state, which are read
            and not written. The report counts what a run would send as `would_be_sent`. Nothing is reconciled, and no dead letter is
            written. Default False.
        limit: send only the first N records of the source, as a rehearsal. The rest is not read, no customer counts as
            gone, and a later run with the same run_id and without a limit sends the rest. Default None: all.
        compression: how the body of a batch is compressed, for slow uplinks: `"gzip"`, or `"zstd"`, which is smaller and faster (before
            Python 3.14 it needs the extra `zstd`: `pip install "amili-arm-async[zstd]"`). The public pages say nothing about
            `Content-Encoding`: use it only if Amili told you that the service accepts it. `max_bytes` counts a body before compression,
            `Limits.bytes_in_flight` and `Totals.bytes_sent` count what is sent. Default None: no compression.
        on_progress: called with a `Progress` after each batch, and when the run has to wait for the server; it must be quick and must
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
    dry_run: bool = False
    limit: int | None = None
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
        if self.limit is not None:
            check_int("BulkOptions.limit", self.limit, least=1)
        self._check_files()
        self._check_failures()
        self._check_compression()

    def _check_files(self) -> None:
        if (url := database_url(self.journal)) is not None:
            # So its password is in no message, log line or report.
            object.__setattr__(self, "journal", url)
        for name in ("journal", "dead_letter"):
            path = getattr(self, name)
            if path is not None and (not isinstance(path, (str, os.PathLike)) or not os.fspath(path) or "\0" in os.fsdecode(path)):
                raise ConfigurationError(f"BulkOptions.{name} must be the path of a file")
        if self.run_id is not None and (not isinstance(self.run_id, str) or not self.run_id.strip() or not is_storable(self.run_id)):
            raise ConfigurationError("BulkOptions.run_id must be a text that is not blank")
        if not isinstance(self.reconcile, (bool, Reconcile)):
            raise ConfigurationError("BulkOptions.reconcile must be True, False or a Reconcile")
        if self.journal is None and (self.run_id is not None or self.reconcile):
            raise ConfigurationError("BulkOptions.run_id and reconcile need a journal: journal='nightly.sqlite'")
        if isinstance(self.reconcile, Reconcile):
            self.reconcile.check_against(self.deadline)

    def _check_failures(self) -> None:
        for name in ("require_document_no", "resend_known", "dry_run"):
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
