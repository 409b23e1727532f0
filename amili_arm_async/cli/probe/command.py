"""`amili-arm probe`: its options, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ... import wire
from ...auth import ClientCredentials
from ...client import ArmClient
from ...config import RetryPolicy, Timeout, check_origin, environment
from ...errors import ArmError, ConfigurationError
from .. import output
from ..options import ConnectionOptions, command
from ..progress import UpdateBar, bar
from ..runner import run_to_end
from ..signals import SignalHandler
from .evidence import Agreement, Exchange, ProbeFinding
from .masking import Replies
from .probe import MOST_REQUESTS, Probe
from .writing import Records, check_host, read_records

__all__ = ["probe"]


@command
def probe(
    connection: ConnectionOptions,
    batch: Annotated[list[str] | None, typer.Option(help="The batchUuid of a batch of yours that is done. Can be given again.")] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Send one customer and one document of yours too. Not to production, unless you insist.")
    ] = False,
    customer: Annotated[Path | None, typer.Option(help="File with the customer to send: one JSON object.")] = None,
    document: Annotated[Path | None, typer.Option(help="File with the document to send, exactly once: one JSON object.")] = None,
    production: Annotated[
        bool, typer.Option("--production", help="I insist: --write may create what is in the files on whatever service this is.")
    ] = False,
    # Named otherwise than the option, since [bulk] deadline is about bulk runs.
    batch_deadline: Annotated[
        float, typer.Option("--deadline", min=0, help="Seconds to wait for the result of the batch that was sent.")
    ] = 300.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take.")] = 30.0,
    save: Annotated[str | None, typer.Option(help="A new directory for the replies, personal data masked, to attach to a report.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of a table.")] = False,
) -> None:
    """Asks a real service what this library had to assume, and tells what is otherwise. Without --write it only reads."""
    try:
        variables = connection.settings().variables()
        records = _records(variables, customer, document, insists=production) if _is_writing(write, customer, document) else None
        for uuid in batch or ():
            wire.segment("--batch", uuid)
        made = _probe(variables, timeout)
        made.batches, made.records, made.deadline = list(batch or ()), records, batch_deadline
        replies = Replies(save) if save is not None else None
    except ArmError as exc:
        output.fail(str(exc))
    with SignalHandler() as interrupts:
        with bar("probe", MOST_REQUESTS) as show:
            made.keep = _keep(replies, show)
            code = run_to_end(made.run(), interrupts)
        found = made.findings()
        if as_json:
            output.print_json(_as_json(made, found))
        else:
            _print(made, found)
        failed = _complain(made, replies)
    raise typer.Exit(code or (2 if failed else int(not _is_well(made, found))))


# --- what was given -------------------------------------------------------------------------------------------------------


def _is_writing(write: bool, customer: Path | None, document: Path | None) -> bool:
    if write == (customer is None and document is None):
        raise ConfigurationError("--write sends what is in --customer and --document: give it with one of them, or with both")
    return write


def _records(variables: Mapping[str, str], customer: Path | None, document: Path | None, *, insists: bool) -> Records:
    """What is to be written; refused before anything is sent or read where the host may be production."""
    check_host(check_origin("base_url", environment(variables).get("base_url")), insists=insists)
    return read_records(*[_read(path) if path is not None else None for path in (customer, document)])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be read: {exc.strerror}") from None


def _probe(variables: Mapping[str, str], seconds: float) -> Probe:
    """The probe of the service that the settings name."""
    found = environment(variables)
    auth = None
    if "token" not in found and {"client_id", "client_secret", "identity_url"} <= found.keys():
        # Made here, so that the names of the fields in the answer of the identity service can be told.
        auth = ClientCredentials(client_id=found["client_id"], client_secret=found["client_secret"], identity_url=found["identity_url"])
    # Each request once, and one for a token too.
    timeout = Timeout(connect=min(10.0, seconds), read=seconds, total=seconds)
    arm = ArmClient.from_env(variables, timeout=timeout, retry=RetryPolicy(attempts=1), **({"auth": auth} if auth is not None else {}))
    return Probe(arm, check_origin("base_url", found["base_url"]), timeout, auth)


def _keep(replies: Replies | None, show: UpdateBar | None) -> Callable[[Exchange], None]:
    """What each reply is told to."""
    heard_so_far = count(1)

    def keep(heard: Exchange) -> None:
        if replies is not None:
            replies.keep(heard)
        if show is not None:
            show(next(heard_so_far), heard.operation)

    return keep


# --- what is told ---------------------------------------------------------------------------------------------------------


def _as_json(made: Probe, found: list[ProbeFinding]) -> dict[str, Any]:
    return {
        "base_url": made.base_url,
        "requests": made.asked,
        "ended": made.evidence.ended or None,
        "findings": found,
        "counts": {verdict: _count(found, verdict) for verdict in Agreement},
        "settings": made.remedy(),
        "document_unknown": made.records is not None and made.records.document_is_unknown,
        "ok": not made.unreachable and _is_well(made, found),
    }


def _is_well(made: Probe, found: list[ProbeFinding]) -> bool:
    """Whether nothing is otherwise than assumed, and nobody has to look for a document."""
    return not _count(found, Agreement.OTHERWISE) and not (made.records is not None and made.records.document_is_unknown)


def _count(found: list[ProbeFinding], verdict: Agreement) -> int:
    return sum(one.verdict == verdict for one in found)


def _print(made: Probe, found: list[ProbeFinding]) -> None:
    table = Table(title=f"{output.plain(made.base_url)}: {made.asked} requests", title_justify="left")
    for name in ("assumption", "expected", "seen", "verdict"):
        table.add_column(name, overflow="fold")
    for one in found:
        # What came from the service stands in a terminal: nothing in it may be obeyed.
        table.add_row(one.assumption, one.expected, output.plain(one.seen), one.verdict)
    Console(highlight=False, markup=False).print(table)
    typer.echo(", ".join(f"{verdict}: {_count(found, verdict)}" for verdict in Agreement))
    typer.echo(f"\nSettings for ArmClient that would make it right:\n{made.remedy()}")


def _complain(made: Probe, replies: Replies | None) -> bool:
    """Says on standard error what went wrong; whether the probe could not do what it was told to."""
    if made.evidence.ended:
        output.warn(output.plain(made.evidence.ended))
    if made.records is not None and made.records.document_is_unknown:
        output.warn("no answer says whether the document was taken: look it up, and do not send it again before you know")
    if replies is not None and replies.trouble:
        output.warn(replies.trouble)
    return made.unreachable or bool(replies is not None and replies.trouble)
