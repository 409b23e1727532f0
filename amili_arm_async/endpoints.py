"""Every operation of the API in one table: method, path, safe or unsafe, limits, and whether a public page shows the path.

Source: the navigation and the pages of https://docs.amili.dev (Accounts Receivable). Paths are below the base address; all names in
them are lower case, without separators (https://docs.amili.dev/about-355476m0). A path that no page shows is marked `inferred`: it
follows that rule and is otherwise a guess.

This table is the one place that says whether an operation is safe: whether a request may be sent again when the server may have
processed an earlier one. Reads are, and writes of customers, because "if a customer already exists, it will be updated"
(https://docs.amili.dev/post-create-one-customer-3942680e0). Whatever is not known to be safe is unsafe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, structs

from .errors import ConfigurationError

__all__ = ["IDENTITY", "OPERATIONS", "TOKEN_SERVICE", "Endpoint", "find", "unlisted", "with_paths"]

_PAGES: Final = "https://docs.amili.dev/"

_READS: Final = frozenset({"GET", "HEAD"})


class Endpoint(Struct, frozen=True):
    """One operation.

    Attributes:
        name: `section.operation`, as it is named in this library.
        method: the HTTP method.
        path: path template below the base address, with `{clientno}` and the like.
        safe: True where it may be sent again though its outcome is unknown.
        documented: True where a public page shows method and path; False where the path is inferred.
        page: the address of the vendor's page, or of the navigation it is named in.
        items: the name of the list in the body that is sent or comes back, or "".
        cap: the most records that one query of the list gives, or 0 where no page shows it.
        statuses: the statuses that the page lists; empty where no page shows them.
        given: True where the caller set the path.
        decides_resend: True for a read whose response decides whether an invoice is sent again: it must not come from a stale connection.
    """

    name: str
    method: str
    path: str
    safe: bool
    documented: bool
    page: str
    items: str = ""
    cap: int = 0
    statuses: tuple[int, ...] = ()
    given: bool = False
    decides_resend: bool = False

    @property
    def is_read(self) -> bool:
        """Whether the operation changes nothing on the server."""
        return self.method in _READS

    @property
    def needs_new_connection(self) -> bool:
        """Whether a connection that was used before must not carry it, where the connections can't be watched."""
        return not self.safe or self.decides_resend

    @property
    def is_guess(self) -> bool:
        """Whether the path is on no page and was not set by the caller."""
        return not self.documented and not self.given

    @property
    def operation(self) -> str:
        """Method and path template, for messages and logs: it holds no number of a client or customer."""
        return f"{self.method} {self.path}"


def _row(
    name: str,
    call: str,
    page: str,
    *,
    safe: bool | None = None,
    inferred: bool = False,
    items: str = "",
    cap: int = 0,
    statuses: str = "",
    decides_resend: bool = False,
) -> Endpoint:
    method, _, path = call.partition(" ")
    return Endpoint(
        name=name,
        method=method,
        path=path,
        safe=method in _READS if safe is None else safe,
        documented=not inferred,
        page=_PAGES + page,
        items=items,
        cap=cap,
        statuses=tuple(int(status) for status in statuses.split()),
        decides_resend=decides_resend,
    )


_C: Final = "clients/{clientno}/"

_ROWS: Final = (
    _row("actions.create", f"POST {_C}actions", "", inferred=True),
    _row("actions.create_report", f"POST {_C}actions/reports", "post-create-a-reports-actiongenerate-a-report-4205259e0", inferred=True),
    _row("ar_items.list", f"GET {_C}aritems", "get-a-list-of-ar-items-3942665e0", items="arItems", cap=10_000, statuses="200"),
    _row("ar_items.get", f"GET {_C}aritems/{{aritemid}}", "get-one-ar-item-3942664e0", items="arItems", statuses="200 401 403 404"),
    _row("ar_items.update", f"PUT {_C}aritems", "put-update-ar-item-details-3942666e0", statuses="200 400 403 404 422"),
    _row(
        "auto_postings.create",
        f"POST {_C}autopostings/{{autopostingmethod}}",
        "post-create-one-or-more-auto-postings-3942671e0",
    ),
    _row(
        "batches.get",
        f"GET {_C}batches/{{batchuuid}}",
        "get-one-batch-3942681e0",
        statuses="200 202 206 400 403 404 406",
        decides_resend=True,
    ),
    _row("client_configs.list", f"GET {_C}clientconfigs", "", inferred=True, items="clientConfigs"),
    _row("client_configs.get", f"GET {_C}clientconfigs/{{key}}", "get-values-for-one-client-config-key-4205266e0", inferred=True),
    _row("codes.get", f"GET {_C}codes", "", inferred=True),
    _row("customers.create", f"POST {_C}customers", "post-create-one-customer-3942680e0", safe=True),
    _row("customers.update", f"PUT {_C}customers", "put-update-one-customer-3942678e0", safe=True),
    _row(
        "customers.list",
        f"GET {_C}customers",
        "get-a-list-of-customers-3942679e0",
        items="customers",
        cap=10_000,
        statuses="200 400 403 404",
    ),
    _row("customers.get", f"GET {_C}customers/{{customerno}}", "get-one-customer-3942674e0", items="customers", statuses="200 400 403 404"),
    _row("customers.delete", f"DELETE {_C}customers/{{customerno}}", "delete-a-customer-3942675e0", statuses="200 401 403 404 422"),
    # The navigation names the page; its own address was not seen.
    _row("customers.create_batch", f"POST {_C}customers/batches", "", safe=True, items="customers", statuses="202 400 403"),
    _row(
        "customers.update_batch",
        f"PUT {_C}customers/batches",
        "put-update-a-batch-of-customers-3942677e0",
        safe=True,
        items="customers",
        statuses="202 400 403",
    ),
    _row("document_bundles.list", f"GET {_C}documentbundles", "", inferred=True, items="documentBundles"),
    _row("document_bundles.get", f"GET {_C}documentbundles/{{documentbundleid}}", "get-one-document-bundle-4205276e0", inferred=True),
    _row("documents.create", f"POST {_C}documents", "post-create-one-document-3942669e0"),
    _row("documents.list", f"GET {_C}documents", "get-a-list-of-documents-3942670e0", inferred=True, items="documents", cap=10_000),
    _row(
        "documents.get",
        f"GET {_C}documents/{{documentno}}",
        "get-one-document-3942667e0",
        items="documents",
        statuses="200 401 403 404",
        decides_resend=True,
    ),
    _row(
        "documents.create_batch",
        f"POST {_C}documents/batches",
        "post-create-a-batch-of-documents-3942668e0",
        items="documents",
        statuses="202 400 403",
    ),
    _row("files.list", f"GET {_C}files", "get-one-or-more-os-files-4205281e0", inferred=True, items="files"),
    _row("files.upload", f"POST {_C}files", "post-upload-one-or-more-os-files-3942683e0", statuses="200 207 400 401 403 404 422"),
    _row("files.get", f"GET {_C}files/{{fileid}}", "", inferred=True),
    _row("gl_items.get", f"GET {_C}glitems/{{glitemid}}", "get-one-gl-item-3942672e0", items="glItems", statuses="200 401 403 404"),
    _row("gl_items.list", f"GET {_C}glitems", "get-a-list-of-gl-items-3942673e0", items="glItems", cap=10_000, statuses="200 400 403"),
    _row(
        "gl_movements.latest_closed",
        f"GET {_C}glmovements/latestclosed",
        "get-movementbalance-for-the-latest-closed-gl-yearperiod-4205286e0",
        inferred=True,
    ),
    _row("gl_movements.list", f"GET {_C}glmovements", "get-a-list-of-gl-movementsbalances-4205287e0", inferred=True, items="glMovements"),
    _row("insights.adb_intervals", f"GET {_C}insights/adbintervals", "get-a-list-of-adb-intervals-4205288e0", inferred=True),
    _row("log_items.get", f"GET {_C}logitems/{{logitemid}}", "", inferred=True),
    _row("log_items.list", f"GET {_C}logitems", "get-a-list-of-log-items-4205290e0", inferred=True, items="logItems"),
    _row("payment_reservations.create", f"POST {_C}paymentreservations", "creates-a-new-payment-reservation-3942682e0"),
    _row("health.check", "GET health", "", inferred=True),
)

OPERATIONS: Final = {row.name: row for row in _ROWS}
"""Every operation by its name."""

_IDENTITY_ROWS: Final = (
    _row("identity.token", "POST token", "example-workflow-359631m0", safe=True),
    # The older navigation names these four paths and nothing else of them.
    _row("identity.refresh", "POST refresh", "", inferred=True),
    _row("identity.verify", "POST verify", "", inferred=True),
    _row("identity.health", "GET health", "", inferred=True),
)

IDENTITY: Final = {row.name: row for row in _IDENTITY_ROWS}
"""The operations of the identity service; their paths are below `identity_url`, not below the base address."""

TOKEN_SERVICE: Final = IDENTITY["identity.token"]
"""The token call of the identity service."""


def with_paths(paths: Mapping[str, str]) -> Mapping[str, Endpoint]:
    """All operations, those of the identity service too, with the paths that the caller knows better in place of those of the table.

    Args:
        paths: operation name to path template below the base address, for example
            `{"codes.get": "clients/{clientno}/systemcodes"}`. Where no page shows the operation, a method may stand before the path:
            `"POST clients/{clientno}/actions/report"`.

    Raises:
        ConfigurationError: no such operation, or a path that can't be one.
    """
    table = {**OPERATIONS, **IDENTITY}
    for name, given in paths.items():
        if name not in table:
            import difflib  # noqa: PLC0415 - for a message that is hardly ever needed

            near = difflib.get_close_matches(str(name), table, 1)
            raise ConfigurationError(f"paths: there is no operation {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if name == TOKEN_SERVICE.name:
            raise ConfigurationError("paths: the token call is at {identity_url}/token; set identity_url")
        table[name] = _moved(table[name], given)
    return table


_METHODS: Final = frozenset({"DELETE", "GET", "PATCH", "POST", "PUT"})


def _moved(row: Endpoint, given: object) -> Endpoint:
    """The operation at the path that was given for it."""
    if not isinstance(given, str):
        raise ConfigurationError(f"paths[{row.name!r}] must be text, not {type(given).__name__}")
    method, _, path = given.strip().rpartition(" ")
    parts = path.strip("/").split("/")
    if (
        any(part in {"", ".", ".."} for part in parts)
        or any(mark in path for mark in "?#\\%:")
        or not (path.isascii() and path.isprintable())
    ):
        raise ConfigurationError(f"paths[{row.name!r}] must be a path below the base address, such as {row.path!r}")
    braces = {part for part in parts if "{" in part or "}" in part}
    known = {part for part in row.path.split("/") if part.startswith("{")}
    # The client number is at hand in every call of the API, whether or not its path was thought to hold it.
    allowed = known if row.name in IDENTITY else known | {"{clientno}"}
    if not known - {"{clientno}"} <= braces <= allowed:
        raise ConfigurationError(f"paths[{row.name!r}] must have the same parts in braces as {row.path!r}")
    method = method.strip().upper() or row.method
    if method != row.method and (row.documented or method not in _METHODS):
        raise ConfigurationError(
            f"paths[{row.name!r}]: the method is {row.method}" if row.documented else f"paths[{row.name!r}]: {method!r} is no method"
        )
    # By another method it is another thing: nothing is known of it but that a GET changes nothing.
    safe = row.safe if method == row.method else method in _READS
    return structs.replace(row, method=method, path="/".join(parts), safe=safe, given=True)


def unlisted(method: str, template: str) -> Endpoint:
    """Returns an operation that the table does not have: nothing is known of it but that a read changes nothing.

    Args:
        method: the HTTP method, in capitals.
        template: its path for messages and logs, without numbers of clients and customers.
    """
    return Endpoint("request", method, template, safe=method in _READS, documented=False, page="")


def find(method: str, path: str, table: Mapping[str, Endpoint] = OPERATIONS) -> Endpoint | None:
    """The operation of a method and a real path below the base address, or None where the table has none."""
    given = path.strip("/").split("/")
    for row in table.values():
        if row.name in IDENTITY:
            continue
        wanted = row.path.split("/")
        same_shape = row.method == method and len(wanted) == len(given)
        if same_shape and all(part == real or part.startswith("{") for part, real in zip(wanted, given, strict=True)):
            return row
    return None
