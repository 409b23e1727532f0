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

    A client with `auth=ClientCredentials(...)` needs none of these calls: it gets and renews its tokens by itself.

    Raises as every call: `NotSentError`, `OutcomeUnknownError`, `ResponseError`, `StatusError` and its subclasses (without the
    server's words: they may repeat a secret), and `ConfigurationError` where no `identity_url` is known.
    """

    def __init__(self, context: RequestContext, identity_url: str | None) -> None:
        self._context = context
        self._url = identity_url

    async def token(self, credentials: ClientCredentials | None = None) -> IssuedToken:
        """A fresh token (`POST token`), beside the one that the client uses.

        Args:
            credentials: whose token; default those that were given as `auth=`.

        Raises:
            AuthenticationError: the identity service gave none, or can't be reached.
            ConfigurationError: there are no credentials.

        https://docs.amili.dev/example-workflow-359631m0
        """
        wanted = credentials or self._context.transport.credentials
        if wanted is None:
            raise ConfigurationError("give credentials: the client's own auth is no ClientCredentials")
        body = await wanted.post(self._context.transport.post_form_again)
        try:
            return codec.read_record(body, IssuedToken)
        except codec.DecodeFailure:
            pass
        raise ResponseError("the identity service answered without JSON: check identity_url")

    async def refresh(self, form: Mapping[str, str], *, timeout: Timeout | None = None, retry: RetryPolicy | None = None) -> Reply:
        """Refreshes a token. The service's navigation names its path; method, form and answer are on no public page.

        It sends a form, as the token call does: `form` holds its fields. Never repeated after a doubtful outcome.
        """
        return await self._send("identity.refresh", form, timeout, retry)

    async def verify(self, form: Mapping[str, str], *, timeout: Timeout | None = None, retry: RetryPolicy | None = None) -> Reply:
        """Verifies a token. The service's navigation names its path; method, form and answer are on no public page.

        It sends a form, as the token call does: `form` holds its fields, the token among them.
        """
        return await self._send("identity.verify", form, timeout, retry)

    async def health(self, *, timeout: Timeout | None = None, retry: RetryPolicy | None = None) -> Reply:
        """Checks the health of the identity service. Its navigation names the path; the answer is on no public page."""
        return await self._send("identity.health", {}, timeout, retry)

    async def _send(self, name: str, form: Mapping[str, str], timeout: Timeout | None, retry: RetryPolicy | None) -> Reply:
        if self._url is None:
            raise ConfigurationError("where the identity service is, is not known: give ClientCredentials as auth=, or identity_url=")
        if not isinstance(form, Mapping) or any(not isinstance(item, str) for pair in form.items() for item in pair):
            raise ConfigurationError(f"{name} takes a form: a mapping of texts to texts")
        request = wire.form(self._context.endpoints[name], self._url, form)
        return reply_of(Reply, await self._context.transport.send(request, timeout=timeout, retry=retry), request)
