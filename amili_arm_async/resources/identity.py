"""The identity service ("Identiverse"): its page belongs to the Collection API; that ARM takes its tokens is an inference."""

from __future__ import annotations

from collections.abc import Mapping

from .. import codec, wire
from ..auth import ClientCredentials
from ..config import RetryPolicy, Timeout
from ..errors import ConfigurationError, ResponseError
from ..models.identity import IssuedToken
from ..models.json_records import Reply
from .base import RequestContext, reply_of

__all__ = ["Identity"]


class Identity:
    """`arm.identity`: the service at `identity_url`, which gets nothing but what is given here: never the client's own bearer token.

    A client with `auth=ClientCredentials(...)` needs none of these calls: it gets and renews its tokens automatically.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses (without the
    server's words: they may repeat a secret), and `ConfigurationError` where no `identity_url` is known.
    """

    def __init__(self, context: RequestContext, identity_url: str | None) -> None:
        self._context = context
        self._url = identity_url

    async def token(self, credentials: ClientCredentials | None = None) -> IssuedToken:
        """Fetches a new token (`POST token`), besides the one that the client uses.

        Args:
            credentials: whose token. Default: those given as `auth=`.

        Returns:
            The token with its lifetime.

        Raises:
            AuthenticationError: the identity service issued none, or can't be reached.
            ConfigurationError: there are no credentials.
            ResponseError: the response is not JSON.

        https://docs.amili.dev/example-workflow-359631m0
        """
        wanted = credentials or self._context.transport.credentials
        if wanted is None:
            raise ConfigurationError("give credentials: the client's own auth is not a ClientCredentials")
        body = await wanted.post(self._context.transport.post_form_again)
        try:
            return codec.read_record(body, IssuedToken)
        except codec.DecodeFailure:
            pass
        raise ResponseError("the identity service answered without JSON: check identity_url")

    async def refresh(self, form: Mapping[str, str], *, timeout: Timeout | None = None, retry: RetryPolicy | None = None) -> Reply:
        """Refreshes a token. It is never repeated when the outcome is unknown.

        The navigation of the vendor's pages names the path; method, form and response are on no public page. It sends a form, as the
        token call does.

        Args:
            form: the fields of the form.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            ConfigurationError: no `identity_url` is known, or the form is not a mapping of text to text.
            OutcomeUnknownError: it may have been accepted: look it up before you repeat it.
        """
        return await self._send("identity.refresh", form, timeout, retry)

    async def verify(self, form: Mapping[str, str], *, timeout: Timeout | None = None, retry: RetryPolicy | None = None) -> Reply:
        """Verifies a token.

        The navigation of the vendor's pages names the path; method, form and response are on no public page. It sends a form, as the
        token call does.

        Args:
            form: the fields of the form, the token among them.
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            ConfigurationError: no `identity_url` is known, or the form is not a mapping of text to text.
        """
        return await self._send("identity.verify", form, timeout, retry)

    async def health(self, *, timeout: Timeout | None = None, retry: RetryPolicy | None = None) -> Reply:
        """Checks the health of the identity service.

        The navigation of the vendor's pages names the path; the response is on no public page.

        Args:
            timeout: time-outs of this call. Default: the client's.
            retry: retries of this call. Default: the client's.

        Returns:
            The response as it came.

        Raises:
            ConfigurationError: no `identity_url` is known.
            StatusError: the service is not well.
        """
        return await self._send("identity.health", {}, timeout, retry)

    async def _send(self, name: str, form: Mapping[str, str], timeout: Timeout | None, retry: RetryPolicy | None) -> Reply:
        if self._url is None:
            raise ConfigurationError("the address of the identity service is not known: give ClientCredentials as auth=, or identity_url=")
        if not isinstance(form, Mapping) or any(not isinstance(item, str) for pair in form.items() for item in pair):
            raise ConfigurationError(f"{name} takes a form: a mapping of texts to texts")
        request = wire.form(self._context.endpoints[name], self._url, form)
        return reply_of(Reply, await self._context.transport.send(request, timeout=timeout, retry=retry), request)
