"""The errors of the library. The class answers the question "what can I do now?".

```
ArmError                      everything this library raises
├── ConfigurationError        the call or its settings are wrong: fix the program           (also ValueError)
├── RecordError               a record can't be sent as it is: fix the data                 (also ValueError)
├── SourceError               an input can't be read, or not to its end: fix the file, or say what it is
├── NotSentError              nothing was sent, or it was provably not accepted: try again
│   └── AuthenticationError   no token could be fetched, whatever the cause: it says nothing about the call
├── OutcomeUnknownError       it may have been accepted: look it up before you repeat it
├── ResponseError             a response can't be read, or a read got none: try again, or report it
├── StatusError               an error status; .status, .body, .request_id, .retry_after
│   ├── BadRequestError       400
│   ├── UnauthorizedError     401
│   ├── ForbiddenError        403
│   ├── NotFoundError         404
│   ├── NotAcceptableError    406
│   ├── ConflictError         409
│   ├── PayloadTooLargeError  413
│   ├── UnprocessableError    422
│   ├── RateLimitedError      429
│   ├── ServerError           5xx
│   └── AmbiguousStatusError  a status to an unsafe write that proves nothing: an OutcomeUnknownError too
│       ├── AmbiguousConflictError 409, a ConflictError too
│       └── AmbiguousServerError   5xx, a ServerError too
├── TruncatedListError        a list reached the cap of its endpoint, or gave fewer records than it announced: it may be incomplete
├── JournalError              a journal or dead letter file can't be used: nothing more is sent; fix the file or its location
├── CheckError                a check found errors, or its source could not be read: nothing was sent; .report names every finding
├── FrameError                parts of a frame of Spark could not be sent; .report says how far it came: call again with the same run_id
└── BulkError                 a bulk run could not continue; .report says what became of each record
```

No message and no `repr` holds a token, a secret or personal data. What the server wrote is in `StatusError.body`, and only there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .bulk.report import BulkReport
    from .validation.report import CheckReport


class InterruptedRunError(Exception):
    """A signal ended a run; its report says how far it came. Not an error of the library: nothing has to be fixed."""


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun.

    Args:
        number: how many there are.
        noun: one of them, such as `record`.

    Returns:
        For example `1 record` or `2,000 records`.
    """
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


Lasting: TypeAlias = Literal["no", "perhaps", "yes"]
"""Whether what went wrong lasts. `"no"`: it may pass. `"perhaps"`: the address looks wrong, as it also does during a deployment. `"yes"`:
no further attempt helps."""

__all__ = [
    "AmbiguousConflictError",
    "AmbiguousServerError",
    "AmbiguousStatusError",
    "ArmError",
    "AuthenticationError",
    "BadRequestError",
    "BulkError",
    "CheckError",
    "ConfigurationError",
    "ConflictError",
    "ForbiddenError",
    "FrameError",
    "JournalError",
    "NotAcceptableError",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "PayloadTooLargeError",
    "RateLimitedError",
    "RecordError",
    "ResponseError",
    "ServerError",
    "SourceError",
    "StatusError",
    "TruncatedListError",
    "UnauthorizedError",
    "UnprocessableError",
    "proxy_hint",
    "status_error",
    "token_hint",
]


class ArmError(Exception):
    """Base of every error of this library."""


class ConfigurationError(ArmError, ValueError):
    """A setting or an argument is wrong; nothing was sent. The message names it and the remedy."""


class RecordError(ArmError, ValueError):
    """A record can't be sent as it is; nothing was sent. The message names the path of each fault, never the value."""


class SourceError(ArmError):
    """An input can't be read, or not to its end: the message names the file, how far it came, and the remedy where one is known."""


class NotSentError(ArmError):
    """Nothing of the request was sent, or it was provably not accepted. It may be tried again."""


class AuthenticationError(NotSentError):
    """No token could be fetched, so nothing was sent. The message names the address and the cause, and the cause is chained.

    Whatever the identity service answered, it is not the response to the call that needed the token: a 404 of the identity service is
    this error, not a `NotFoundError`.

    Args:
        message: what went wrong: the text of the error.

    Attributes:
        status: the status that the identity service, or a proxy before it, answered; None where there was no answer.
        lasting: `"no"`: it may pass (408, 425, 429, 5xx, a time-out). `"perhaps"`: the address looks wrong (host name not
            found, connection refused, 404, no token in the answer); this happens during deployments too, so a bulk run ends at once only
            where it never had a token. `"yes"`: no further attempt helps (certificate, 400, 401, 403): a bulk run ends at once.
    """

    def __init__(self, message: str, *, status: int | None = None, lasting: Lasting = "yes") -> None:
        self.status = status
        self.lasting: Lasting = lasting
        super().__init__(message)


class OutcomeUnknownError(ArmError):
    """The request was sent, at least in part; whether it was accepted is not known. Do not repeat it blindly."""


class ResponseError(ArmError):
    """A response could not be read, or a read got none. It is harmless to repeat a read."""


class StatusError(ArmError):
    """The server answered with an error status.

    Args:
        hint: what to do, for the message. Default: a text that depends on the status.

    Attributes:
        status: the HTTP status.
        operation: method and path template, for example `GET clients/{clientno}/customers/{customerno}`.
        request_id: the request id that the server gave, or None.
        retry_after: seconds to wait, from `Retry-After`, or None.
        body: the parsed JSON of the answer, else its text, else None. It may hold personal data, so it is not in the message.
    """

    def __init__(
        self,
        status: int,
        *,
        operation: str,
        body: Any = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        self.status = status
        self.operation = operation
        self.body = body
        self.request_id = request_id
        self.retry_after = retry_after
        parts = [f"{operation} was answered {status}"]
        if request_id is not None:
            parts.append(f"(request id {request_id})")
        if retry_after is not None:
            parts.append(f"(retry after {retry_after:g} s)")
        hint = hint or _HINTS.get(status) or ("the server failed; try again later" if status >= 500 else None)
        message = " ".join(parts) + (f": {hint}" if hint else "")
        super().__init__(message + ("; what the server wrote is in .body" if body else ""))


class BadRequestError(StatusError):
    """400: the server does not accept the request as it is written."""


class UnauthorizedError(StatusError):
    """401: no valid token, and a fresh one did not help."""


class ForbiddenError(StatusError):
    """403: the token is valid but has no permission for this, or not for this client number."""


class NotFoundError(StatusError):
    """404: no such record, batch or path."""


class NotAcceptableError(StatusError):
    """406: the vendor's page of GET batch lists it without a meaning."""


class ConflictError(StatusError):
    """409."""


class PayloadTooLargeError(StatusError):
    """413: the body is larger than the server accepts."""


class UnprocessableError(StatusError):
    """422: understood, and refused for what it says; for example to delete a customer with documents."""


class RateLimitedError(StatusError):
    """429: too many requests; `retry_after` is the number of seconds, if the server sent one."""


class ServerError(StatusError):
    """5xx: the server, or a proxy before it, failed."""


class AmbiguousStatusError(StatusError, OutcomeUnknownError):
    """An error status to a write that is not safe to repeat, and it does not prove that nothing was done."""


class AmbiguousConflictError(ConflictError, AmbiguousStatusError):
    """409 to a write that is not safe to repeat."""


class AmbiguousServerError(ServerError, AmbiguousStatusError):
    """5xx to a write that is not safe to repeat."""


class JournalError(ArmError):
    """A journal or a dead letter file can't be used: foreign, damaged, newer, full, or in use by another process.

    Attributes:
        taken_over: whether another process has taken over what this one was doing, as it may once a lease has ended. Default False.
    """

    taken_over: bool = False


class TruncatedListError(ArmError):
    """A list is incomplete: it gave fewer records than it announced, left out a page, or reached the cap of its endpoint, so that there
    may be more.

    Args:
        expected: the number of records that the list announced, where it gave fewer.
        pages: the last page that was read and the number of pages announced, where pages are missing.
        left_out: the number of the page that was due and of the later one that came instead, where no number of records was announced, or
            fewer than were given.

    Attributes:
        total_count: the number of records that the list announced, or gave where that is more.
        cap: the maximum number of records that the endpoint returns for one query; 0 if it is not known.
        given: records that were given.
        is_short: whether records are missing; else the list reached its cap.
        what: what is wrong, in words.
    """

    def __init__(
        self,
        *,
        total_count: int,
        cap: int,
        given: int,
        expected: int | None = None,
        pages: tuple[int, int] | None = None,
        left_out: tuple[int, int] | None = None,
    ) -> None:
        self.total_count = total_count
        self.cap = cap
        self.given = given
        self.is_short = expected is not None or pages is not None or left_out is not None
        if expected is not None:
            self.what = (
                f"the list gave {given:,} of the {counted(expected, 'record')} that it announced: the rest is missing, or was deleted"
            )
        elif pages is not None:
            self.what = f"the list ended on page {pages[0]:,} of {pages[1]:,}, after {counted(given, 'record')}: the rest is missing"
        elif left_out is not None:
            self.what = f"page {left_out[1]:,} of the list came where page {left_out[0]:,} was due: records may be missing"
        else:
            self.what = f"the list holds {counted(total_count, 'record')}, and its endpoint gives at most {cap:,}: there may be more"
        again = "List again" if self.is_short else "Narrow the query"
        super().__init__(
            f"{self.what}. {again}, fetch by key with get_many(), or say maximum_count= or allow_truncated=True where a part is enough"
        )


class BulkError(ArmError):
    """A bulk run could not continue, or `raise_for_failures()` found records that did not succeed.

    Args:
        message: what went wrong: the text of the error.

    Attributes:
        report: the `BulkReport`: every record that was read is in it, in its final state.
    """

    def __init__(self, message: str, report: BulkReport) -> None:
        self.report = report
        super().__init__(message)


class FrameError(ArmError):
    """Parts of a frame of Spark could not be sent to their end. Call again with the same `run_id`: what was sent is not sent again.

    Args:
        message: what went wrong: the text of the error.

    Attributes:
        report: the report over all parts (docs/spark.md), as far as they came; None where the journal can't be read.
        parts: by part, why it could not be sent; empty where Spark could not run the job to its end.
    """

    def __init__(self, message: str, report: Any, parts: Mapping[int, str]) -> None:
        super().__init__(message)
        self.report = report
        self.parts = parts


class CheckError(ArmError):
    """A check could not read its source to the end (the cause is chained), or `raise_for_faults()` found errors. Nothing was sent.

    Args:
        message: what went wrong: the text of the error.

    Attributes:
        report: the `CheckReport`: what was found so far.
    """

    def __init__(self, message: str, report: CheckReport) -> None:
        self.report = report
        super().__init__(message)


_HINTS: Final[Mapping[int, str]] = {
    301: "the server redirects: check base_url",
    302: "the server redirects: check base_url",
    303: "the server redirects: check base_url",
    307: "the server redirects: check base_url",
    308: "the server redirects: check base_url",
    400: "the request is not as the API wants it",
    401: "the token was refused: check client_id, client_secret and identity_url, or the token you gave",
    403: "the token may not do this: check the client number and the permissions of the token",
    404: "no such record or path",
    405: "this path does not take this method: check base_url",
    413: "the body is too large: send fewer records at a time (BulkOptions.max_records, max_bytes)",
    415: "the content type was refused: check base_url",
    422: "understood, and refused for what it says",
    429: "too many requests: wait, or lower Limits.connections or Limits.requests_per_second",
}

_TOKEN_HINTS: Final[Mapping[int, str]] = {
    400: "check client_id and client_secret",
    401: "check client_id and client_secret",
    403: "check client_id and its permissions",
    404: "check identity_url",
}


def token_hint(status: int, *, is_transient: bool) -> str:
    """Returns what to do about an error status of the identity service.

    Args:
        status: the HTTP status.
        is_transient: whether another attempt may get another response.
    """
    return _TOKEN_HINTS.get(status) or ("try again later" if is_transient else "check identity_url")


_CANNOT_REACH: Final = "{proxy} can't reach {origin}: check that address, or try again later"
_PROXY_HINTS: Final[Mapping[int, str]] = {
    403: "{proxy} does not allow connections to {origin}: ask who runs it, or name the host in NO_PROXY if it can be reached directly",
    407: "{proxy} wants a user name and a password, or refuses those given: {setting} is http://user:password@host:port",
    502: _CANNOT_REACH,
    503: _CANNOT_REACH,
    504: _CANNOT_REACH,
}


def proxy_hint(status: int, proxy: str, origin: str, setting: str) -> str:
    """Returns what to do about the status with which a proxy answers CONNECT.

    Args:
        status: the HTTP status.
        proxy: address of the proxy.
        origin: address that was asked for.
        setting: name of the setting that names the proxy.
    """
    return _PROXY_HINTS.get(status, "check that {setting} names a proxy").format(proxy=proxy, origin=origin, setting=setting)


_CLASSES: Final[Mapping[int, type[StatusError]]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    406: NotAcceptableError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableError,
    429: RateLimitedError,
}


def status_error(
    status: int,
    *,
    operation: str,
    body: Any = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    ambiguous: bool = False,
    hint: str | None = None,
) -> StatusError:
    """The error for `status`: the subclass that the tree above names, else `StatusError` itself; `hint` is what can be done.

    Where it is `ambiguous` whether the request was done all the same, the error is an `OutcomeUnknownError` too.
    """
    cls = _CLASSES.get(status) or (ServerError if status >= 500 else StatusError)
    if ambiguous:
        cls = AmbiguousServerError if status >= 500 else AmbiguousConflictError if status == 409 else AmbiguousStatusError
        hint = "it may have been done all the same: look it up before you send it again"
    return cls(status, operation=operation, body=body, request_id=request_id, retry_after=retry_after, hint=hint)
