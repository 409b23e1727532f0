"""The commands of `amili-arm` and their exit codes: 0 all made it, 1 some did not, 2 wrong use; 130, 143, 141 ended by SIGINT, SIGTERM, a
closed pipe."""

from __future__ import annotations

import asyncio
import shlex
import sys
from typing import Annotated

import typer

from .. import __version__
from ..sandbox import Sandbox
from . import check, commands, journal_commands, nightly, output, sync
from . import report as report_command
from .config import config_app
from .demo import CLIENT_NO, Demo
from .options import AnyCommandsConfig
from .probe.command import probe
from .runner import run_to_end
from .signals import SignalHandler

__all__ = ["app"]

app = typer.Typer(
    help="Amili's ARM API from the command line.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show tokens and customers.
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"amili-arm {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    config: AnyCommandsConfig = None,
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
    with SignalHandler() as interrupts:
        code = run_to_end(made.run(), interrupts)
        if as_json:
            output.print_json(made.as_json())
        else:
            made.print_table()
    raise typer.Exit(code or (0 if made.ok else 1))


# --- what is in other modules ---------------------------------------------------------------------------------------------

app.command()(commands.push)
app.command()(check.check)
app.command()(sync.sync)
app.command()(nightly.nightly)
app.command()(journal_commands.status)
app.command()(journal_commands.reconcile)
app.command()(journal_commands.replay)
app.command()(journal_commands.prune)
app.command()(journal_commands.adopt)
app.command()(probe)
app.add_typer(config_app, name="config")
app.command()(report_command.report)
pull_app = typer.Typer(help="Writes what the API has as JSON lines.", no_args_is_help=True)
app.add_typer(pull_app, name="pull")
pull_app.command("customers")(commands.pull_customers)


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
    except OSError as exc:
        output.fail(f"can't listen on {host}, port {port}: {exc.strerror}")


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
