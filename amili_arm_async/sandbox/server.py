"""``Sandbox``: the ARM API on this machine, to write and to test against without an account."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal, Self

from aiohttp import web

from .app import ARM_PATH, IDENTITY_PATH, App
from .controls import Controls, Parts
from .encodings import ENCODINGS
from .entities import EntityStore
from .faults import FaultPlan
from .ledger import Ledger
from .operations import Operations
from .received import Received
from .settings import SandboxSettings, Words
from .store import Store
from .tokens import Tokens
from .worker import Worker

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Mapping
    from types import TracebackType

# Seconds a request under way may still take when the sandbox closes; those that hang are let go before.
_SHUTDOWN = 0.2

_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a server is found that listens everywhere


class Sandbox(Controls):
    """The ARM API as a real server on this machine, with everything it holds in a temporary file.

    ::

        async with Sandbox() as sandbox:
            async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as arm:
                ...
            assert sandbox.documents.taken("88776655") == 1

    Where the public pages of the API are silent, its answers are assumptions; the options choose between
    them.

    ``host``, ``port``: where to listen; port 0 takes a free one. ``ssl_context``: serve https with it.
    ``clients``: the client numbers that exist, others are answered 403; None: every number, each with its own
    ledger.
    ``client_id``, ``client_secret``, ``token_lifetime`` (seconds): the token service at ``identity_url``.
    ``process_delay``: seconds from a batch's 202 until it is processed; may be changed while it runs.
    ``result_style``: ``entries`` lists every record in a batch's result, ``summary`` does not.
    ``partial_status``: the status of a result some of whose records failed.
    ``words``: other words for ``unprocessed``, ``processed``, ``pending``, ``succeeded``, ``failed``,
    ``partial``.
    ``max_body_bytes``, ``max_batch_records`` (None: no limit): 413 above them; a compressed body counts as it is
    when it is plain again.
    ``content_encodings``: the values of Content-Encoding that are taken; others are answered 415.
    ``list_cap``: the upper limit of maximumCount. ``total_count``: whether totalCount stops there or counts
    ``all``.
    ``next_page_end``: what ``nextPage`` is on the last page.
    ``require_customers``: a document whose customer is unknown fails.
    ``duplicate_documents``: a documentNo that exists already is stored again, or fails.
    ``update_creates``: PUT makes a customer that does not exist, instead of failing.
    ``number_documents``: a document sent without a number is given one.
    ``paths``: path templates below /arm/v1 by the name of the operation (``{"codes.get": "clients/{clientno}/systemcodes"}``),
    a method and a blank before them if it is another; the operation is served there, and no longer at its usual place.
    ``error_style``: the bodies of errors are ARM's as it is assumed, those of RFC 7807 (``problem``), plain text, or none.
    ``list_names``: the names of the lists in answers, by the name of the operation.
    ``record_style``: GET of one record answers the bare object, ``{"customer": {...}}`` or ``{"customers": [{...}]}``.
    ``entries_name``: the name of the list of entries in a batch's result; None: ``customers`` or ``documents``.
    ``request_id_header``: the header with an id that every answer has; None: there is none.
    ``rate_limit_headers``: answers have X-RateLimit-Limit, -Remaining and -Reset, with made-up numbers.
    ``page_size_cap``: the upper limit of pageSize.
    ``auto_posting_methods``: the words that may be in the path of auto postings; others are answered 404; None: any.
    ``auto_posting_failure_status``: the status of the answer to auto postings one of which failed.
    ``file_style``: GET of one file answers the object that was stored, or the bytes that are in it.
    ``keepalive``: seconds after which a connection nobody uses is closed.
    ``seed``: makes the chances of injected faults repeatable.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        clients: Collection[int] | None = None,
        client_id: str = "sandbox",
        client_secret: str = "sandbox-secret",  # noqa: S107 - it guards nothing
        token_lifetime: float = 3600.0,
        process_delay: float = 0.05,
        result_style: Literal["entries", "summary"] = "entries",
        partial_status: Literal[200, 206] = 206,
        words: Mapping[str, str] | None = None,
        max_body_bytes: int = 5_000_000,
        max_batch_records: int | None = None,
        content_encodings: Collection[str] = ENCODINGS,
        list_cap: int = 10_000,
        total_count: Literal["capped", "all"] = "capped",
        next_page_end: Literal["absent", "null", "blank"] = "absent",
        require_customers: bool = True,
        duplicate_documents: Literal["store", "fail"] = "store",
        update_creates: bool = False,
        number_documents: bool = False,
        paths: Mapping[str, str] | None = None,
        error_style: Literal["arm", "problem", "text", "empty"] = "arm",
        list_names: Mapping[str, str] | None = None,
        record_style: Literal["bare", "wrapped", "listed"] = "bare",
        entries_name: str | None = None,
        request_id_header: str | None = "X-Request-Id",
        rate_limit_headers: bool = False,
        page_size_cap: int = 1000,
        auto_posting_methods: Collection[str] | None = None,
        auto_posting_failure_status: int = 200,
        file_style: Literal["json", "bytes"] = "json",
        keepalive: float = 75.0,
        seed: int | None = None,
    ) -> None:
        self.process_delay = process_delay
        self._host = host
        self._port = port
        self._bound = port
        self._keepalive = keepalive
        self._ssl_context = ssl_context
        self._settings = SandboxSettings(
            clients=clients,
            client_id=client_id,
            client_secret=client_secret,
            token_lifetime=token_lifetime,
            result_style=result_style,
            partial_status=partial_status,
            words=Words.of(words),
            max_body_bytes=max_body_bytes,
            max_batch_records=max_batch_records,
            content_encodings=content_encodings,
            list_cap=list_cap,
            total_count=total_count,
            next_page_end=next_page_end,
            require_customers=require_customers,
            duplicate_documents=duplicate_documents,
            update_creates=update_creates,
            number_documents=number_documents,
            paths=dict(paths or {}),
            error_style=error_style,
            list_names=dict(list_names or {}),
            record_style=record_style,
            entries_name=entries_name,
            request_id_header=request_id_header,
            rate_limit_headers=rate_limit_headers,
            page_size_cap=page_size_cap,
            auto_posting_methods=auto_posting_methods,
            auto_posting_failure_status=auto_posting_failure_status,
            file_style=file_style,
        )
        self._tokens = Tokens(self._settings)
        self._runner: web.AppRunner | None = None
        self._parts: Parts | None = None
        super().__init__(FaultPlan(random.Random(seed)))  # noqa: S311 - it has to be repeatable

    # -- lifetime

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        await self.close()

    async def start(self) -> None:
        """Listen. Starting twice is a ``RuntimeError``; a sandbox that was closed starts again, empty."""
        if self._parts is not None:
            raise RuntimeError("the sandbox is running already")
        store = Store()
        ledger, things, posts = Ledger(store, self._settings), EntityStore(store), Received(store)
        worker = Worker(ledger, self._settings, lambda: self.process_delay)
        operations = Operations(ledger, things, posts, worker, self._settings)
        gate = App(self._settings, operations, self._tokens, self._faults)
        self._parts = Parts(ledger, things, posts, worker, gate)
        # handler_cancellation: a request whose client is gone must not stay behind, however long it would
        # hang.
        self._runner = web.AppRunner(
            gate.application(),
            access_log=None,
            handler_cancellation=True,
            # The gate does it: what comes over the wire is counted, and which encodings are taken is a setting.
            auto_decompress=False,
            keepalive_timeout=self._keepalive,
            shutdown_timeout=_SHUTDOWN,
        )
        try:
            await self._runner.setup()
            site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._ssl_context)
            await site.start()
        except BaseException:
            await self.close()
            raise
        self._bound = site.port
        worker.start()

    async def close(self) -> None:
        """Drop every connection, stop processing and forget everything. Closing twice does nothing."""
        if self._parts is None:
            return
        parts = self._parts
        parts.gate.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._parts = self._runner = None
        try:
            await parts.worker.stop()
        finally:
            parts.ledger.store.close()

    # -- addresses and tokens

    @property
    def origin(self) -> str:
        """Scheme, host and port, such as ``http://127.0.0.1:41234``."""
        self._running()
        scheme = "http" if self._ssl_context is None else "https"
        host = _REACHED_AT.get(self._host, self._host)
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{self._bound}"

    @property
    def base_url(self) -> str:
        """The address of the ARM API: ``{origin}/arm/v1``."""
        return self.origin + ARM_PATH

    @property
    def identity_url(self) -> str:
        """The address of the identity service; tokens come from ``POST {identity_url}/token``."""
        return self.origin + IDENTITY_PATH

    @property
    def client_id(self) -> str:
        """The client id that the identity service accepts."""
        return self._settings.client_id

    @property
    def client_secret(self) -> str:
        """The secret that the identity service accepts."""
        return self._settings.client_secret

    @property
    def token(self) -> str:
        """A bearer token that is good until ``revoke_tokens``; afterwards, a new one."""
        return self._tokens.own

    @property
    def token_requests(self) -> int:
        """How many requests the token service has read."""
        return self._tokens.requests

    def revoke_tokens(self) -> None:
        """Make every token that was handed out so far bad: calls with it are answered 401."""
        self._tokens.revoke()

    def _running(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("the sandbox is not running: look at it inside its `async with`")
        return self._parts
