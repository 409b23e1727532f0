"""Tokens: where they come from. Concurrent 401s trigger a single token refresh.

The token service is the one of the Collection API's page (https://docs.amili.dev/example-workflow-359631m0); that the ARM API takes
its tokens is an inference: both say "JWT Bearer" and live on one host.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable
from weakref import WeakKeyDictionary

from . import clock, codec
from .config import check_origin
from .errors import AuthenticationError, ConfigurationError
from .secret_files import SecretFile, printable

__all__ = ["Auth", "ClientCredentials", "Secret", "TokenFile", "TokenSource", "token_source"]


class Secret:
    """A text that does not show in `repr` or in the locals of a traceback."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Returns the text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@runtime_checkable
class TokenSource(Protocol):
    """Where bearer tokens come from: implement it to get tokens in your own way."""

    async def acquire(self) -> str:
        """Returns a token to use now.

        It is called before each request, so keep a token until it expires or is invalidated.

        Returns:
            The token, without 'Bearer' before it.
        """
        ...

    def invalidate(self, token: str) -> None:
        """Drops a token that the server refused: if it is still the current one, the next `acquire()` returns a new one.

        Args:
            token: the refused token.
        """
        ...


Auth: TypeAlias = str | Callable[[], Awaitable[str]] | TokenSource

PostForm: TypeAlias = Callable[[str, "Mapping[str, str | Secret]"], Awaitable[bytes]]
"""Posts a form to an address and gives the body of a 2xx; anything else raises an error of the tree."""


class _StaticToken:
    """A fixed token."""

    def __init__(self, token: str) -> None:
        self._token = Secret(token)

    async def acquire(self) -> str:
        return self._token.reveal()

    def invalidate(self, token: str) -> None:
        """Does nothing: there is no other token."""


class _Round:
    """The calls of one event loop: a lock, how often it was called, and how the last call failed."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.number = 0
        self.failure: Exception | None = None


class _Single:
    """Makes a value once for all callers that wait: an event loop has one call under way, and its waiters share the result or the error."""

    def __init__(self) -> None:
        self._rounds: WeakKeyDictionary[asyncio.AbstractEventLoop, _Round] = WeakKeyDictionary()

    async def run(self, ready: Callable[[], bool], make: Callable[[], Awaitable[None]]) -> None:
        if ready():
            return
        loop = asyncio.get_running_loop()
        current = self._rounds.get(loop)
        if current is None:
            current = self._rounds[loop] = _Round()
        seen = current.number
        async with current.lock:
            if ready():
                return
            if current.number != seen and current.failure is not None:
                raise current.failure
            current.failure = None
            try:
                await make()
            except Exception as exc:
                current.failure = exc
                raise
            finally:
                current.number += 1


class TokenFile:
    """A bearer token in a file, such as one that Kubernetes mounts or another program renews: read at once, and again after a 401.

    Args:
        path: of the file. It holds the token on one line.

    Raises:
        ConfigurationError: the file can't be read, or holds something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._begin(SecretFile(path, "TokenFile"))

    @classmethod
    def of(cls, file: SecretFile) -> TokenFile:
        """Returns the source for a file that a setting names.

        Args:
            file: the file.

        Returns:
            The source.
        """
        made = object.__new__(cls)
        made._begin(file)
        return made

    def _begin(self, file: SecretFile) -> None:
        self._file = file
        self._single = _Single()
        self._token: Secret | None = Secret(self._checked(file.read()))

    def __repr__(self) -> str:
        return f"TokenFile({printable(self._file.path)!r})"

    async def acquire(self) -> str:
        """Returns the token; reads the file where the last one was refused.

        Returns:
            The token.

        Raises:
            AuthenticationError: the file can't be read now.
        """
        await self._single.run(lambda: self._token is not None, self._read)
        assert self._token is not None
        return self._token.reveal()

    def invalidate(self, token: str) -> None:
        """Drops a token that the server refused: the file may hold a new one.

        Args:
            token: the refused token.
        """
        if self._token == Secret(token):
            self._token = None

    async def _read(self) -> None:
        text = await asyncio.to_thread(self._file.read_again)
        if text is None:
            # Whoever writes it may be about to.
            where = f"{self._file.where}: {printable(self._file.path)}"
            raise AuthenticationError(f"the token was refused, and there is no other one: {where} can't be read now", lasting="perhaps")
        self._token = Secret(self._checked(text))

    def _checked(self, text: str) -> str:
        if not _is_token(text):
            where = f"{self._file.where}: {printable(self._file.path)}"
            raise ConfigurationError(f"{where} holds no token: it must hold the token alone, without 'Bearer' and blanks")
        return text


class _Callable:
    """An async function of the caller; its token is kept until the server refuses it."""

    def __init__(self, function: Callable[[], Awaitable[str]]) -> None:
        self._function = function
        self._single = _Single()
        self._token: Secret | None = None

    async def acquire(self) -> str:
        await self._single.run(lambda: self._token is not None, self._make)
        assert self._token is not None
        return self._token.reveal()

    async def _make(self) -> None:
        self._token = Secret(check_token(await self._function()))

    def invalidate(self, token: str) -> None:
        if self._token == Secret(token):
            self._token = None


class ClientCredentials:
    """Gets tokens with a client id and secret: `POST {identity_url}/token`, kept until shortly before they expire.

    Args:
        client_id: the client id.
        client_secret: the client secret; it is never shown.
        client_secret_file: a file that holds the secret on one line. It is read at once, and again when the identity service refuses
            the secret, so that a new one needs no restart.
        identity_url: the identity service, for staging `https://auth.staging.amili.no`, for production `https://auth.amili.no`.

    It works inside an `ArmClient`, which sends its requests; several clients may share one.

    Raises:
        ConfigurationError: a value is blank, or `identity_url` is not a usable address.
    """

    LEEWAY: Final = 60.0
    """A token is renewed this many seconds before it expires (a short-lived one in the last tenth of its life)."""

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str | None = None,
        client_secret_file: str | os.PathLike[str] | SecretFile | None = None,
        identity_url: str,
    ) -> None:
        if (client_secret is None) == (client_secret_file is None):
            raise ConfigurationError("ClientCredentials: give client_secret or client_secret_file, one of them")
        self._file: SecretFile | None = None
        if client_secret_file is not None:
            file = (
                client_secret_file if isinstance(client_secret_file, SecretFile) else SecretFile(client_secret_file, "client_secret_file")
            )
            self._file, client_secret = file, file.read()
        for name, value in (("client_id", client_id), ("client_secret", client_secret)):
            if not isinstance(value, str) or not value.strip():
                raise ConfigurationError(f"ClientCredentials: {name} must not be blank")
        self.client_id = client_id
        self.identity_url = check_origin("identity_url", identity_url)
        self._secret = Secret(str(client_secret))
        self._single = _Single()
        self._token: Secret | None = None
        self._renew_at = 0.0
        self._posts: list[tuple[PostForm, asyncio.AbstractEventLoop | None]] = []

    def __repr__(self) -> str:
        return f"ClientCredentials(client_id={self.client_id!r}, client_secret='***', identity_url={self.identity_url!r})"

    def attach(self, post: PostForm, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Fetches tokens through this client from now on. A client calls it when it is opened.

        Args:
            post: posts a form to an address and returns the body of a 2xx response.
            loop: the event loop in which `post` can be used; None: any.
        """
        self._posts.append((post, loop))

    def detach(self, post: PostForm) -> None:
        """Stops using this client. A client calls it when it is closed.

        Args:
            post: what was given to `attach`.
        """
        self._posts = [kept for kept in self._posts if kept[0] != post]

    async def acquire(self) -> str:
        """Returns a token that is not about to expire; fetches one if there is none.

        Returns:
            The token, without 'Bearer' before it.

        Raises:
            AuthenticationError: no token could be fetched; the cause is chained.
            ConfigurationError: no client of this event loop uses these credentials.
        """
        await self._single.run(self._is_fresh, self._fetch)
        assert self._token is not None
        return self._token.reveal()

    def invalidate(self, token: str) -> None:
        """Drops a token that the server refused, if it is still the current one.

        Args:
            token: the refused token.
        """
        if self._token == Secret(token):
            self._token = None

    async def post(self, post: PostForm) -> bytes:
        """Requests a token.

        Args:
            post: posts a form to an address and returns the body of a 2xx response.

        Returns:
            The body of the response.
        """
        try:
            return await self._post(post)
        except AuthenticationError as exc:
            # It refused them: another time it would do so too, unless there is another secret.
            if exc.status is None or exc.lasting != "yes" or not await self._has_new_secret():
                raise
        return await self._post(post)

    async def _post(self, post: PostForm) -> bytes:
        form: dict[str, str | Secret] = {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self._secret}
        return await post(f"{self.identity_url}/token", form)

    async def _has_new_secret(self) -> bool:
        """Reads the file of the secret again, where there is one; tells whether it holds another one now."""
        text = await asyncio.to_thread(self._file.read_again) if self._file is not None else None
        before, self._secret = self._secret, Secret(text) if text is not None else self._secret
        return self._secret != before

    def _is_fresh(self) -> bool:
        return self._token is not None and clock.unix_time() < self._renew_at

    async def _fetch(self) -> None:
        here = asyncio.get_running_loop()
        posts = [post for post, loop in self._posts if loop is None or loop is here]
        if not posts:
            raise ConfigurationError(
                "ClientCredentials gets its tokens through an ArmClient of the same event loop: give it as auth=, inside `async with`"
            )
        answer = codec.json_object(await self.post(posts[-1]))
        token = answer.get("access_token") if answer is not None else None
        if answer is None or not _is_token(token):
            text = f"can't get a token from {self.identity_url}/token: its answer has no access_token that can be used: check identity_url"
            # A page in HTML in its place comes while a service is deployed too.
            raise AuthenticationError(text, lasting="perhaps")
        now = clock.unix_time()
        lifetime = _lifetime(answer, now)
        self._token = Secret(str(token))
        self._renew_at = now + lifetime - min(self.LEEWAY, lifetime / 10)


_LONGEST: Final = 86_400.0
"""The most seconds for which a token is kept, whatever lifetime the response claims."""


def _lifetime(answer: Mapping[str, Any], now: float) -> float:
    """Returns the seconds until the token expires: the shorter of `expires_in` and `expires_on`, if they make sense."""
    said: list[float] = []
    for name, start in (("expires_in", 0.0), ("expires_on", now)):
        try:
            seconds = float(answer[name]) - start
        except OverflowError:
            # More digits than a float has room for.
            seconds = _LONGEST if answer[name] > 0 else 0.0
        except (KeyError, TypeError, ValueError):
            continue
        if seconds > 0:
            said.append(min(seconds, _LONGEST))
    return min(said, default=300.0)


def _is_token(token: object) -> bool:
    return isinstance(token, str) and bool(token) and token.isascii() and token.isprintable() and " " not in token


def check_token(token: object) -> str:
    """Refuses what a header can't hold."""
    if not isinstance(token, str) or not _is_token(token):
        raise ConfigurationError("a token must be a non-empty text of plain characters, without 'Bearer' before it")
    return token


def describe(source: TokenSource) -> str:
    """Describes a token source for messages."""
    if isinstance(source, ClientCredentials):
        return f"{source.identity_url}/token"
    return "the function given as auth=" if isinstance(source, _Callable) else f"the {type(source).__name__} given as auth="


def token_source(auth: Auth) -> TokenSource:
    """Returns the token source for what was given as `auth=`."""
    if isinstance(auth, str):
        return _StaticToken(check_token(auth))
    if isinstance(auth, TokenSource):
        return auth
    if callable(auth):
        return _Callable(auth)
    raise ConfigurationError("auth must be a token, an async function that returns one, or a TokenSource such as ClientCredentials")
