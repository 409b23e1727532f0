"""The commands of `amili-arm`, their arguments and their exit codes: 0 all made it, 1 some did not, 2 wrong use, 130 Ctrl-C."""

from __future__ import annotations

import asyncio
import io
import os
import shlex
import sys
from collections.abc import Coroutine, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from .. import __version__
from ..client import ArmClient
from ..config import BulkOptions
from ..errors import ArmError, BulkError, ConfigurationError
from ..sandbox import Sandbox
from . import output
from .demo import CLIENT_NO, Demo
from .push import Push, Task
from .sending import run_until_interrupted

__all__ = ["app"]

_INTERRUPTED: Final = 130
_DEFAULTS: Final = BulkOptions()

app = typer.Typer(
    help="Amili's ARM API from the command line.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show tokens and customers.
    pretty_exceptions_enable=False,
)


class Kind(StrEnum):
    """What is pushed."""

    customers = "customers"
    documents = "documents"


class Results(StrEnum):
    """How far a record is followed."""

    wait = "wait"
    accepted = "accepted"


class Bisect(StrEnum):
    """Which refused batches are taken apart."""

    safe = "safe"
    all = "all"
    off = "off"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"amili-arm {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")] = False,
) -> None:
    pass


# --- demo ---------------------------------------------------------------------------------------------------------------


@app.command()
def demo(
    customers: Annotated[int, typer.Option(min=1, help="Customers to send.")] = 1000,
    documents: Annotated[int, typer.Option(min=0, help="Invoices to send to them.")] = 2000,
    seed: Annotated[int, typer.Option(help="Makes the generated records repeatable.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of a table.")] = False,
) -> None:
    """Starts a sandbox in this process, sends it generated customers and invoices, and reads the customers back.

    Nothing leaves this machine.
    """
    made = Demo(customers, documents, seed)
    code = _run(made.run())
    if as_json:
        output.print_json(made.as_json())
    else:
        made.print_table()
    raise typer.Exit(code or (0 if made.ok else 1))


# --- push ---------------------------------------------------------------------------------------------------------------


@app.command()
def push(
    kind: Annotated[Kind, typer.Argument(help="What the records are.")],
    file: Annotated[str, typer.Argument(help="JSON lines: one record on each line; - for standard input.")],
    base_url: Annotated[str | None, typer.Option(help="Address of the API. [AMILI_ARM_BASE_URL]")] = None,
    client_no: Annotated[int | None, typer.Option(help="Client number. [AMILI_ARM_CLIENT_NO]")] = None,
    user_id: Annotated[str | None, typer.Option(help="Who is named as the user. [AMILI_ARM_USER_ID]")] = None,
    identity_url: Annotated[str | None, typer.Option(help="Address of the identity service. [AMILI_ARM_IDENTITY_URL]")] = None,
    client_id: Annotated[str | None, typer.Option(help="Client id for the identity service. [AMILI_ARM_CLIENT_ID]")] = None,
    update: Annotated[bool, typer.Option("--update", help="Update (PUT) instead of create; customers only.")] = False,
    max_records: Annotated[int, typer.Option(help="Records in a batch at the most.")] = _DEFAULTS.max_records,
    max_bytes: Annotated[int, typer.Option(help="Bytes of a request at the most.")] = _DEFAULTS.max_bytes,
    concurrency: Annotated[int, typer.Option(help="Batches sent side by side.")] = _DEFAULTS.concurrency,
    results: Annotated[Results, typer.Option(help="Wait for each batch's result, or be done when it is accepted.")] = Results.wait,
    bisect: Annotated[Bisect, typer.Option(help="Look for the bad record of a refused batch: in safe writes, all, or none.")] = Bisect.safe,
    patience: Annotated[float, typer.Option(help="Seconds to wait for a server that does not answer.")] = _DEFAULTS.patience,
    deadline: Annotated[float, typer.Option(help="Seconds to wait for the result of a batch.")] = _DEFAULTS.deadline,
    server_messages: Annotated[
        bool, typer.Option("--server-messages", help="Show the server's words to failed records; they may hold personal data.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one line of JSON on standard output.")] = False,
) -> None:
    """Sends the records of FILE, and names on standard error the lines that did not make it.

    The secret comes from AMILI_ARM_CLIENT_SECRET, or a token from AMILI_ARM_TOKEN: an argument could be seen by every user of the
    machine. Options win over the environment.
    """
    flags = {"BASE_URL": base_url, "CLIENT_NO": client_no, "USER_ID": user_id, "IDENTITY_URL": identity_url, "CLIENT_ID": client_id}
    try:
        options = BulkOptions(
            max_records=max_records,
            max_bytes=max_bytes,
            concurrency=concurrency,
            results=results.value,
            bisect=bisect.value,
            patience=patience,
            deadline=deadline,
        )
        made = Push(ArmClient.from_env(_settings(flags)), _task(kind, update=update), options, server_messages)
    except ConfigurationError as failure:
        output.fail(str(failure))
    with _open(file) as opened:
        code = _run(made.run(opened))
    if as_json:
        output.print_json({**made.as_json(), "ok": made.ok and not code})
    else:
        made.print_table()
    made.name_failures()
    raise typer.Exit(code or (0 if made.ok else 1))


def _open(file: str) -> io.FileIO:
    try:
        return open(0 if file == "-" else file, "rb", buffering=0, closefd=file != "-")
    except OSError as failure:
        output.fail(f"{file} can't be read: {failure.strerror}")


def _task(kind: Kind, *, update: bool) -> Task:
    if kind is Kind.customers:
        return "update customers" if update else "create customers"
    if update:
        raise ConfigurationError("--update is for customers: the API has no update of documents")
    return "create documents"


def _settings(flags: Mapping[str, object]) -> dict[str, str]:
    """The environment with what was given as an option put over it."""
    variables = dict(os.environ)
    if flags["CLIENT_ID"] is not None or flags["IDENTITY_URL"] is not None:
        # Who names an identity wants it used, and not a token that is left over in the environment.
        variables.pop("AMILI_ARM_TOKEN", None)
    return variables | {f"AMILI_ARM_{name}": str(value) for name, value in flags.items() if value is not None}


# --- sandbox ------------------------------------------------------------------------------------------------------------


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    process_delay: Annotated[float, typer.Option(min=0, help="Seconds from a batch's 202 until it is processed.")] = 0.05,
) -> None:
    """Runs the ARM API on this machine until Ctrl-C. What it was sent is gone when it ends."""
    served = Sandbox(host=host, port=port, process_delay=process_delay)
    try:
        asyncio.run(_serve(served))
    except KeyboardInterrupt:
        return
    except OSError as failure:
        output.fail(f"can't listen on {host}, port {port}: {failure.strerror}")


async def _serve(served: Sandbox) -> None:
    async with served:
        variables = {
            "BASE_URL": served.base_url,
            "CLIENT_NO": CLIENT_NO,
            "IDENTITY_URL": served.identity_url,
            "CLIENT_ID": served.client_id,
            "CLIENT_SECRET": served.client_secret,
        }
        typer.echo(f"The ARM API of the sandbox: {served.base_url} (any client number)")
        typer.echo(f"Its identity service:       {served.identity_url}")
        typer.echo(f"Client id and secret:       {served.client_id}  {served.client_secret}")
        typer.echo(f"A token:                    {served.token}\n")
        for name, value in variables.items():
            typer.echo(f"export AMILI_ARM_{name}={shlex.quote(str(value))}")
        typer.echo("\nCtrl-C ends it.")
        sys.stdout.flush()
        await asyncio.Event().wait()


# --- what they share ----------------------------------------------------------------------------------------------------


def _run(work: Coroutine[Any, Any, None]) -> int:
    """Does the work to its end, and says what ended it early; gives the exit code for that, or 0."""
    try:
        run_until_interrupted(work)
    except KeyboardInterrupt:
        output.warn("interrupted")
        return _INTERRUPTED
    except BulkError as failure:
        output.warn(f"the run could not go on: {failure.__cause__ or failure}")
        return 1
    except ArmError as failure:
        output.warn(str(failure))
        return 1
    return 0
