"""`ArmClient`: the lifetime of the connections, and the resources hung on it."""

from __future__ import annotations

import os
import ssl as ssl_module
from collections.abc import AsyncIterable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from msgspec import structs

from . import codec
from .auth import Auth, token_source
from .bulk.limits import SharedLimits
from .certificates import FilePath, tls_context
from .config import DEFAULT, BatchWords, BulkOptions, Default, Limits, RetryPolicy, Timeout, check_int, check_origin
from .endpoints import find, unlisted, with_paths
from .environment import from_variables
from .errors import ConfigurationError
from .proxies import Proxies, check_proxy, proxies_of
from .resources.ar_items import ArItems
from .resources.base import RequestContext
from .resources.batches import Batches
from .resources.customers import Customers, CustomerSource
from .resources.documents import Documents, DocumentSource
from .resources.files import Files
from .resources.identity import Identity
from .resources.untyped import (
    Actions,
    AutoPostings,
    ClientConfigs,
    Codes,
    DocumentBundles,
    GlItems,
    GlMovements,
    Health,
    Insights,
    LogItems,
    PaymentReservations,
)
from .telemetry.base import Telemetry, check_telemetry
from .transport import Transport
from .wire import Request, Response, query_pairs

if TYPE_CHECKING:
    import aiohttp

    from .bulk.outcomes import BatchReader
    from .nightly.run import NightlyRun
    from .sources.arrow import ArrowStream

__all__ = ["ArmClient"]


class ArmClient:
    """The ARM API for one client number.

    ```python
    async with ArmClient(2218, auth="a-bearer-token", base_url=STAGING) as arm:
        record = await arm.customers.get("543210")
    ```

    Make one client for the life of a program, enter it once, and use it in as many tasks as you like. Without `async with`, call
    `await arm.aclose()` at the end. A client belongs to the event loop and the process in which it is entered, or first used: in another
    one, it raises `ConfigurationError`, as it does when it is entered a second time or used after it was closed. Make one in each.

    Args:
        client_no: the client number; every path of the API holds one.
        auth: a bearer token, an async function that returns one, or a `TokenSource` such as `ClientCredentials`.
        base_url: the base address of the API, for example `STAGING`. It has no default, so that nobody bills the wrong system by
            leaving it out. Plain http is refused, except for this machine.
        user_id: the user id to send (`userid` of reads, `metadata.userId` of batches).
        language: `Accept-Language` of reads.
        session: an `aiohttp.ClientSession` of your own, with its proxies and certificates; the client never closes it. Writes that are not
            safe to repeat, and the reads that decide whether one is repeated, use a new connection each on it.
        timeout: how long a call may take.
        retry: how often, and how soon, a call is retried.
        limits: how much may be in flight at once.
        batch_words: what the words of a batch result mean.
        batch_reader: reads the results of batches that no rule of this library understands: `batch_reader(status, body, keys)` gives a
            `RecordOutcome` for each key, in their order, or None: then the rules decide. It is asked for every 200 and 206 in bulk runs,
            reconciles and replays. If it raises, or returns anything else, the records are `accepted`, reason `unrecognised`.
        paths: path templates by operation name, for operations whose path differs from the one that this library has, for example
            `{"codes.get": "clients/{clientno}/systemcodes"}`; docs/operations.md has them all.
        identity_url: the identity service, for `arm.identity`; default that of `ClientCredentials`.
        ca_file: a file of certificates, in PEM: the authorities that are trusted, in place of those of the system.
        client_cert: a file with a client certificate and its chain, in PEM, for a service that requires one.
        client_key: a file with its private key, in PEM. Default None: it is in `client_cert` too.
        client_key_password: password of that key.
        ssl: an `ssl.SSLContext`, in place of these four.
        proxy: address of a proxy for the API and the identity service, such as `"http://user:password@proxy.example:3128"`; None: no
            proxy. Default `DEFAULT`: the one that `HTTPS_PROXY` or `ALL_PROXY` names, which this machine and the hosts in `NO_PROXY` are
            never reached through. The environment is read once, here.
        telemetry: what to report to OpenTelemetry, if the program uses it; see docs/opentelemetry.md. None: nothing.

    Raises:
        ConfigurationError: a setting is wrong.
    """

    def __init__(
        self,
        client_no: int,
        *,
        auth: Auth,
        base_url: str,
        user_id: str | None = None,
        language: str | None = None,
        session: aiohttp.ClientSession | None = None,
        timeout: Timeout = Timeout(),  # noqa: B008 - frozen
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        limits: Limits = Limits(),  # noqa: B008 - frozen
        batch_words: BatchWords = BatchWords(),  # noqa: B008 - frozen
        batch_reader: BatchReader | None = None,
        paths: Mapping[str, str] | None = None,
        identity_url: str | None = None,
        ca_file: FilePath | None = None,
        client_cert: FilePath | None = None,
        client_key: FilePath | None = None,
        client_key_password: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | Default | None = DEFAULT,
        telemetry: Telemetry | None = Telemetry(),  # noqa: B008 - frozen
    ) -> None:
        context = tls_context(ca_file=ca_file, client_cert=client_cert, client_key=client_key, client_key_password=client_key_password)
        if session is not None and (ssl is not None or context is not None or isinstance(proxy, str)):
            raise ConfigurationError("a session that you bring has its own certificates and proxy: set them there")
        if ssl is not None and context is not None:
            raise ConfigurationError("ssl is given, and ca_file or client_cert too: load them into that context, or leave it out")
        if batch_reader is not None and not callable(batch_reader):
            raise ConfigurationError("batch_reader must be a function of status, body and keys")
        proxies = _proxies(proxy, has_session=session is not None)
        transport = Transport(
            check_origin("base_url", base_url),
            auth=token_source(auth),
            session=session,
            timeout=timeout,
            retry=retry,
            limits=limits,
            ssl=ssl or context,
            proxies=proxies,
            telemetry=check_telemetry(telemetry),
        )
        self._owns_transport = True
        self._is_entered = False
        if identity_url is not None:
            self._identity_url: str | None = check_origin("identity_url", identity_url)
        else:
            self._identity_url = transport.credentials.identity_url if transport.credentials is not None else None
        for address in (transport.base_url, self._identity_url):
            if address is not None:
                proxies.of(address)
        from .bulk.results import BatchRules  # noqa: PLC0415 - a program that imports the library may need no client

        caller = RequestContext(
            _client_no(client_no), transport, user_id, language, BatchRules(batch_words, batch_reader), with_paths(paths or {})
        )
        self._attach_resources(caller, SharedLimits(limits.open_batches, transport.held))

    def _attach_resources(self, caller: RequestContext, shared_limits: SharedLimits) -> None:
        self._context = caller
        self._pressure = shared_limits
        self.actions = Actions(caller)
        self.ar_items = ArItems(caller)
        self.auto_postings = AutoPostings(caller)
        self.batches = Batches(caller)
        self.client_configs = ClientConfigs(caller)
        self.codes = Codes(caller)
        self.customers = Customers(caller, shared_limits)
        self.document_bundles = DocumentBundles(caller)
        self.documents = Documents(caller, shared_limits)
        self.files = Files(caller)
        self.gl_items = GlItems(caller)
        self.gl_movements = GlMovements(caller)
        self.health = Health(caller)
        self.identity = Identity(caller, self._identity_url)
        self.insights = Insights(caller)
        self.log_items = LogItems(caller)
        self.payment_reservations = PaymentReservations(caller)

    @classmethod
    def from_env(cls, variables: Mapping[str, str] | None = None, **settings: Any) -> ArmClient:
        """Makes a client from environment variables.

        They are `AMILI_ARM_CLIENT_NO`, `AMILI_ARM_BASE_URL`, and either `AMILI_ARM_TOKEN` or `AMILI_ARM_CLIENT_ID`,
        `AMILI_ARM_CLIENT_SECRET` and `AMILI_ARM_IDENTITY_URL`; also `AMILI_ARM_USER_ID`, `AMILI_ARM_LANGUAGE`, `AMILI_ARM_PROXY` (`none`:
        no proxy), `AMILI_ARM_CA_FILE`, `AMILI_ARM_CLIENT_CERT`, `AMILI_ARM_CLIENT_KEY`, `AMILI_ARM_CLIENT_KEY_PASSWORD`, and the numbers
        of `Timeout`, `RetryPolicy` and `Limits`, such as `AMILI_ARM_TIMEOUT_TOTAL`. Each secret can be in a file in place of the variable
        (`AMILI_ARM_TOKEN_FILE`, `AMILI_ARM_CLIENT_SECRET_FILE`, `AMILI_ARM_CLIENT_KEY_PASSWORD_FILE`), or in a keyring
        (`AMILI_ARM_TOKEN_KEYRING=SERVICE:USER` and so on; extra `keyring`). In paths, `~` and variables such as
        `$CREDENTIALS_DIRECTORY` are expanded. A variable that looks misspelt causes a warning.

        Args:
            variables: the variables. Default: the environment of the process.
            **settings: further arguments of `ArmClient`; they override the environment.

        Returns:
            The client, not yet opened.

        Raises:
            ConfigurationError: a variable is missing or wrong; the message names it.
        """
        return cls(**from_variables(os.environ if variables is None else variables, settings))

    def for_client(self, client_no: int) -> ArmClient:
        """Returns a view on another client number that shares connections, token and limits. It ends with the client it came from.

        Args:
            client_no: the other client number.

        Returns:
            A client for that number; closing it closes nothing.

        Raises:
            ConfigurationError: `client_no` is not a positive integer.
        """
        caller = self._context
        view = object.__new__(ArmClient)
        view._owns_transport = view._is_entered = False
        view._identity_url = self._identity_url
        view._attach_resources(structs.replace(caller, client_no=_client_no(client_no)), self._pressure)
        return view

    @property
    def client_no(self) -> int:
        """The client number."""
        return self._context.client_no

    @property
    def base_url(self) -> str:
        """The base address of the API."""
        return self._context.transport.base_url

    def __repr__(self) -> str:
        return f"ArmClient({self.client_no}, base_url={self._context.transport.base_url!r})"

    async def __aenter__(self) -> ArmClient:
        self._context.transport.settle()
        if self._is_entered:
            raise ConfigurationError("the client is open already: enter it once, and use it in as many tasks as you like")
        self._is_entered = self._owns_transport
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections that this client opened; a second time, it does nothing. A view, and a session of your own, stay open."""
        if self._owns_transport:
            await self._context.transport.close()

    def nightly(
        self,
        *,
        customers: Iterable[CustomerSource] | AsyncIterable[CustomerSource] | ArrowStream | None = None,
        documents: Iterable[DocumentSource] | AsyncIterable[DocumentSource] | ArrowStream | None = None,
        state: str | os.PathLike[str] | None = None,
        full: bool = False,
        customer_options: BulkOptions | None = None,
        document_options: BulkOptions | None = None,
        user_id: str | None = None,
        at_least_customers: int | float | None = None,
        at_least_documents: int | None = None,
        parts: int | None = None,
        part: int | None = None,
    ) -> NightlyRun:
        """Sends customers, then their documents, and reports on both: the nightly job.

        The documents of a customer that did not succeed are `blocked`: they are named and not sent, because they would fail. If the run
        of the customers can't be completed, no document is sent.

        Args:
            customers: any iterable or async iterable, or a table that supports the Arrow stream protocol; None: only documents.
            documents: any iterable or async iterable, or a table that supports the Arrow stream protocol; None: only customers.
            state: a file that records what was sent successfully, so that only customers that have changed since are sent; see
                `customers.sync`. None: all are sent.
            full: also send unchanged customers.
            customer_options: of the run of the customers; it waits for the results.
            document_options: of the run of the documents, for example a journal with a run_id, so that an interrupted night can be resumed.
            user_id: the user id that each batch names.
            at_least_customers: the minimum content of a complete source: a number of records, an integer; or, with a state,
                a share of the customers in it, a float from 0 to 1. Default None: 0.5 with a state, otherwise no minimum.
            at_least_documents: the minimum number of documents. Default None: any number. If a source holds less than
                expected, all that was read is sent, and the night is not ok: see `NightlyReport.shortfalls`.
            parts: the number of parts of a night that many processes share: each gives all customers and all documents, and sends one part
                of the documents. One of them sends the customers, the others wait for that. It needs `document_options` with a journal
                in PostgreSQL and a run_id, and a state in PostgreSQL; see docs/shared_runs.md. Default None: this process sends all.
            part: the part that this process sends, from 0.

        Returns:
            The run: await it for a `NightlyReport`, of what this process has sent.

        Raises:
            ConfigurationError: there is nothing to do, or the options contradict each other.
        """
        from .resources.nightly import plan  # noqa: PLC0415 - only few programs need it

        return plan(
            self._context,
            self._pressure,
            customers,
            documents,
            state,
            full,
            customer_options,
            document_options,
            user_id,
            at_least_customers=at_least_customers,
            at_least_documents=at_least_documents,
            parts=parts,
            part=part,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        json: object = None,
        body: bytes | None = None,
        language: str | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
    ) -> Response:
        """Sends any request, with the same token, retries, limits and errors as the other methods.

        What this library knows to be safe to repeat (reads, customers) is retried when its outcome is unknown; anything else is not.

        Args:
            method: the HTTP method.
            path: the path below `clients/{client_no}/`; with a leading slash, or beginning with `clients/`, below the base address.
                Percent-encode what you put into it.
            params: the query; values that are None are left out.
            json: a value to send as JSON.
            body: JSON as bytes, instead of `json`.
            language: `Accept-Language` of this call. Default: the client's.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            Status, headers, request id and body of a 2xx response.

        Raises:
            ConfigurationError: the path is not percent-encoded or has a query, or both `json` and `body` are given.
            NotSentError: nothing was sent, or it was provably not accepted: try again.
            OutcomeUnknownError: it may have been accepted: look it up before you repeat it.
            ResponseError: the response could not be read, or a read got none.
            StatusError: the server answered with an error status.
        """
        method = method.upper()
        full = path.lstrip("/") if path.startswith(("/", "clients/")) else f"clients/{self.client_no}/{path}"
        if any(part in {"", ".", ".."} for part in full.split("/")) or any(mark in full for mark in "?#\\ ") or not full.isascii():
            raise ConfigurationError("path must be percent-encoded, without a query, a blank part, '.' or '..'; the query goes into params")
        if json is not None and body is not None:
            raise ConfigurationError("give json or body, not both")
        endpoint = find(method, full, self._context.endpoints) or unlisted(method, _template(full))
        if json is not None:
            body = codec.encode_value(json)
        request = Request(
            endpoint, full, query_pairs(params or {}), language or self._context.language, (body,) if body is not None else ()
        )
        return await self._context.transport.send(request, timeout=timeout, retry=retry)


def _template(path: str) -> str:
    """The path for messages and logs, without what may be the number of a person."""
    parts = path.split("/")
    return "/".join([*parts[:1], *("{...}" for _ in parts[1:2]), *parts[2:3], *("{...}" for _ in parts[3:])])


def _proxies(proxy: str | Default | Proxies | None, *, has_session: bool) -> Proxies:
    """The proxy of a client; a session that was brought has its own."""
    if has_session:
        return Proxies()
    if isinstance(proxy, Proxies):
        return proxy
    if proxy is DEFAULT:
        return proxies_of(os.environ)
    return Proxies(check_proxy(proxy) if proxy is not None else None)


def _client_no(client_no: object) -> int:
    check_int("client_no", client_no, least=1)
    assert isinstance(client_no, int)
    return client_no
