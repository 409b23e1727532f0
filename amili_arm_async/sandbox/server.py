"""`Sandbox`: the ARM API on this machine, to develop and test against without an account."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from typing import TYPE_CHECKING, Any, Literal, Self

from aiohttp import web

from .. import clock
from ..auth import ClientCredentials
from ..client import ArmClient
from .app import ARM_PATH, IDENTITY_PATH, App
from .controls import Controls, Parts
from .encodings import ENCODINGS
from .entities import EntityStore
from .faults import FaultPlan
from .ledger import Ledger
from .operations import Operations
from .received import Received
from .routes import routes
from .serving import LoopThread, ServingLoop, on_server
from .settings import SandboxSettings, Words
from .store import Store
from .tokens import Tokens
from .worker import Worker

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Collection, Mapping
    from types import TracebackType

# Seconds a request under way may still take when the sandbox closes; those that hang are let go before.
_SHUTDOWN = 0.2

_BACKLOG = 128
_CLIENT_NO = 2218
_REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a server is found that listens everywhere


class Sandbox(Controls):
    """The ARM API as a real server on this machine; it keeps its data in a temporary file.

    ```python
    async with Sandbox() as sandbox:
        async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url) as arm:
            ...
        assert sandbox.documents.taken("88776655") == 1
    ```

    `async with` serves in the running event loop; `with` serves from a thread of its own, so that it works in any test, with or without a
    loop. Everything can be called from any thread.

    Where the public pages of the API say nothing, its answers are assumptions; the options choose between them.

    Args:
        host: where to listen. Default: the loopback interface.
        port: the port to listen on. Default 0: a free one.
        ssl_context: serves https with it. Default None: plain http.
        clients: the client numbers that exist; others are answered 403. Default None: every number, each with a ledger of its own.
        client_id: the client id that the token service accepts.
        client_secret: the secret that it accepts.
        token_lifetime: seconds for which a token is valid. Default 3600.
        process_delay: seconds from the 202 of a batch until it is processed; can be changed while it runs. Default 0.05.
        result_style: `"entries"` (default) lists every record in the result of a batch, `"summary"` does not.
        partial_status: the status of a result in which some records failed. Default 206.
        words: other words for `unprocessed`, `processed`, `pending`, `succeeded`, `failed`, `partial`.
        max_body_bytes: a larger body is answered 413; a compressed one counts decompressed. Default 5,000,000.
        max_batch_records: a larger batch is answered 413. Default None: no limit.
        content_encodings: the values of Content-Encoding that are accepted; others are answered 415. Default: gzip and zstd.
        list_cap: the upper limit of maximumCount. Default 10,000.
        total_count: whether totalCount is `"capped"` there (default) or counts `"all"`.
        next_page_end: what `nextPage` is on the last page. Default `"absent"`.
        require_customers: whether a document of an unknown customer fails. Default True.
        duplicate_documents: whether a documentNo that exists already is stored again (`"store"`, default) or fails (`"fail"`).
        update_creates: whether PUT creates a customer that does not exist, instead of failing. Default False.
        number_documents: whether a document without a number is given one. Default False.
        paths: path templates below /arm/v1 by operation name (`{"codes.get": "clients/{clientno}/systemcodes"}`), with a method before
            them if it is another. The operation is served there, and no longer at its usual path.
        error_style: the bodies of errors: `"arm"`, as ARM's are assumed to be (default), `"problem"` (RFC 7807), `"text"` or `"empty"`.
        list_names: the names of the lists in responses, by operation name.
        record_style: GET of one record answers the object (`"bare"`, default), `{"customer": {...}}` (`"wrapped"`) or
            `{"customers": [{...}]}` (`"listed"`).
        entries_name: the name of the list of entries in the result of a batch. Default None: `customers` or `documents`.
        request_id_header: the header with the id of each response; None: no such header.
        rate_limit_headers: whether responses have X-RateLimit-Limit, -Remaining and -Reset, with made-up numbers. Default False.
        page_size_cap: the upper limit of pageSize. Default 1000.
        auto_posting_methods: the words allowed in the path of auto postings; others are answered 404. Default None: any.
        auto_posting_failure_status: the status of the response to auto postings one of which failed. Default 200.
        file_style: GET of one file answers the stored object (`"json"`, default) or the bytes in it (`"bytes"`).
        keepalive: seconds after which an unused connection is closed. Default 75.
        seed: makes the chances of injected faults repeatable.

    Raises:
        ValueError: an option has a value that can't work.
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
        self._seed = seed
        self._first_delay = process_delay
        self._tokens = Tokens(self._settings)
        self._runner: web.AppRunner | None = None
        self._parts: Parts | None = None
        self._sockets: list[socket.socket] = []
        self._accepting: list[socket.socket] = []
        self._thread: LoopThread | None = None
        super().__init__(FaultPlan(random.Random(seed)), routes(self._settings.paths))  # noqa: S311 - it has to be repeatable

    # -- lifetime

    def __enter__(self) -> Self:
        """Starts it in a thread of its own."""
        if self._parts is not None:
            raise RuntimeError("the sandbox is running already")
        self._thread = LoopThread()
        try:
            self._thread.wait(self._thread.submit(self.start()))
        except BaseException:
            self._end_thread()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes it, and ends its thread."""
        thread = self._thread
        if thread is None or thread.is_foreign:
            return
        try:
            thread.wait(thread.submit(self.close()))
        finally:
            self._end_thread()

    def _end_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()

    async def __aenter__(self) -> Self:
        """Starts it in the running event loop."""
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes it."""
        await self.close()

    async def start(self) -> None:
        """Starts to listen. A sandbox that was closed can be started again, and is empty then.

        Raises:
            RuntimeError: it is running already.
            OSError: the address is not one of this machine, or the port is taken.
        """
        if self._parts is not None or (self._thread is not None and not self._thread.is_here):
            raise RuntimeError("the sandbox is running already")
        self._home = self._thread or ServingLoop(asyncio.get_running_loop())
        try:
            self._sockets = _listen(self._host, self._port)
            self._bound = self._sockets[0].getsockname()[1]
            await self._serve()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Drops every connection, stops processing and forgets everything. Closing twice does nothing.

        Raises:
            RuntimeError: it serves from a thread of its own, which ends with its `with` block.
        """
        if self._thread is not None and not self._thread.is_here:
            raise RuntimeError("the sandbox serves from a thread of its own: it is closed at the end of its `with` block")
        try:
            await self._stop()
        finally:
            listening, self._sockets = self._sockets, []
            for one in listening:
                one.close()
            self._home = None

    def reset(self) -> Awaitable[None]:
        """Forgets everything: records, requests, faults, tokens, and a `process_delay` that was changed. The address stays.

        Connections are dropped, and requests that hang end. So the next test finds the sandbox as it was when it started.

        Returns:
            In async code, what is to be awaited. In plain code, all is done when it returns.
        """
        return self._finish(self._restart)

    def _reset_from_outside(self) -> None:
        """Resets a sandbox with a thread of its own, whether or not a loop runs in this one. A forked process leaves it alone."""
        thread = self._thread
        if thread is not None and not thread.is_foreign:
            thread.wait(thread.submit(self._restart()))

    async def _restart(self) -> None:
        try:
            await self._stop()
        finally:
            self._faults = FaultPlan(random.Random(self._seed))  # noqa: S311 - it has to be repeatable
            self._tokens = Tokens(self._settings)
            self.process_delay = self._first_delay
            _refuse_waiting(self._sockets)
            await self._serve()

    async def _serve(self) -> None:
        """Answers what comes over the sockets, with an empty ledger."""
        store = Store()
        ledger, entities, received = Ledger(store, self._settings), EntityStore(store), Received(store)
        worker = Worker(ledger, self._settings, lambda: self.process_delay)
        operations = Operations(ledger, entities, received, worker, self._settings)
        app = App(self._settings, operations, self._tokens, self._faults)
        self._parts = Parts(ledger, entities, received, worker, app)
        # handler_cancellation: a request whose client is gone must not stay behind, however long it would
        # hang.
        self._runner = web.AppRunner(
            app.application(),
            access_log=None,
            handler_cancellation=True,
            # `App` does it: what comes over the wire is counted, and which encodings are taken is a setting.
            auto_decompress=False,
            keepalive_timeout=self._keepalive,
            shutdown_timeout=_SHUTDOWN,
        )
        await self._runner.setup()
        for listening in self._sockets:
            # A copy, for aiohttp closes what it is given; the port stays ours over a reset.
            self._accepting.append(listening.dup())
            await web.SockSite(self._runner, self._accepting[-1], ssl_context=self._ssl_context).start()
        worker.start()

    async def _stop(self) -> None:
        if self._parts is None:
            return
        parts = self._parts
        await self._accept_no_more()
        parts.app.close()
        if self._runner is not None:
            await self._runner.cleanup()
        self._parts = self._runner = None
        try:
            await parts.worker.stop()
        finally:
            parts.ledger.store.close()

    async def _accept_no_more(self) -> None:
        """Lets connections that were just accepted become whole: asyncio leaves them open where the server closes before that."""
        loop = asyncio.get_running_loop()
        accepting, self._accepting = self._accepting, []
        for listening in accepting:
            with contextlib.suppress(NotImplementedError):
                loop.remove_reader(listening)
        await clock.turns()

    # -- addresses and tokens

    def __repr__(self) -> str:
        return f"<Sandbox at {self.base_url}>" if self._parts is not None else "<Sandbox, not running>"

    @property
    def origin(self) -> str:
        """Scheme, host and port, such as `http://127.0.0.1:41234`."""
        self._running()
        scheme = "http" if self._ssl_context is None else "https"
        host = _REACHED_AT.get(self._host, self._host)
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{self._bound}"

    @property
    def base_url(self) -> str:
        """The address of the ARM API: `{origin}/arm/v1`."""
        return self.origin + ARM_PATH

    @property
    def identity_url(self) -> str:
        """The address of the identity service; tokens come from `POST {identity_url}/token`."""
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
    def client_no(self) -> int:
        """The client number of `client` and `environ`: 2218, or the lowest of `clients`."""
        allowed = self._settings.clients
        return _CLIENT_NO if allowed is None or _CLIENT_NO in allowed else min(allowed, default=_CLIENT_NO)

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables that lead `ArmClient.from_env` and the command line here, for `monkeypatch.setenv` and subprocesses."""
        return {
            "AMILI_ARM_BASE_URL": self.base_url,
            "AMILI_ARM_CLIENT_NO": str(self.client_no),
            "AMILI_ARM_IDENTITY_URL": self.identity_url,
            "AMILI_ARM_CLIENT_ID": self.client_id,
            "AMILI_ARM_CLIENT_SECRET": self.client_secret,
        }

    def client(self, client_no: int | None = None, **settings: Any) -> ArmClient:
        """Makes a client for this sandbox; the caller enters it with `async with`.

        Args:
            client_no: the client number. Default: `client_no` of the sandbox.
            **settings: further arguments of `ArmClient`, such as `timeout` and `retry`. They override address and credentials.

        Returns:
            The client, not yet opened.
        """
        auth = ClientCredentials(client_id=self.client_id, client_secret=self.client_secret, identity_url=self.identity_url)
        return ArmClient(self.client_no if client_no is None else client_no, **{"auth": auth, "base_url": self.base_url, **settings})

    @property
    def token(self) -> str:
        """A bearer token that is valid until `revoke_tokens`; afterwards, a new one."""
        return self._tokens.own if self._tokens.has_own else self._call(lambda: self._tokens.own)

    @property
    def token_requests(self) -> int:
        """How many requests the token service has received."""
        return self._tokens.requests

    @on_server
    def revoke_tokens(self) -> None:
        """Revokes every token that was issued so far: requests with one are answered 401."""
        self._tokens.revoke()

    def _running(self) -> Parts:
        if self._parts is None:
            raise RuntimeError("the sandbox is not running: look at it inside its `with` or `async with`")
        return self._parts


def _listen(host: str, port: int) -> list[socket.socket]:
    """Returns a listening socket for each address of a host, all on one port."""
    # Not by the loop, which would start a thread for it: a name of this machine is found at once.
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listening: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            if family in (socket.AF_INET, socket.AF_INET6):
                place = (address[0], port, *address[2:])
                listening.append(socket.create_server(place, family=family, backlog=_BACKLOG))
                listening[-1].setblocking(False)
                port = listening[0].getsockname()[1]
    except BaseException:
        for one in listening:
            one.close()
        raise
    return listening


def _refuse_waiting(sockets: list[socket.socket]) -> None:
    """Closes connections that nobody has accepted yet."""
    for listening in sockets:
        while True:
            try:
                listening.accept()[0].close()
            except OSError:
                break
