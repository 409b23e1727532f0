"""The commands of `amili-arm`.

Exit codes: 0 everything succeeded, 1 something failed, 2 wrong use; 130, 143, 141 ended by SIGINT, SIGTERM, a closed pipe.
"""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from .check import check
from .columns import columns
from .config import config_app
from .demo import demo
from .fields import fields
from .journal import adopt, prune, status
from .nightly import nightly
from .options import AnyCommandsConfig
from .probe.command import probe
from .pull import pull_customers
from .push import push
from .reconcile import reconcile
from .replay import replay
from .report import report
from .sandbox import sandbox
from .sync import sync

__all__ = ["app"]

app = typer.Typer(
    help="Amili's ARM API from the command line.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show tokens and customers.
    pretty_exceptions_enable=False,
)


def _version(is_given: bool) -> None:
    if is_given:
        typer.echo(f"amili-arm {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    config: AnyCommandsConfig = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    pass


app.command()(demo)
app.command()(push)
app.command()(check)
app.command()(sync)
app.command()(nightly)
app.command()(status)
app.command()(reconcile)
app.command()(replay)
app.command()(prune)
app.command()(adopt)
app.command()(probe)
app.add_typer(config_app, name="config")
app.command()(fields)
app.command()(columns)
app.command()(report)
pull_app = typer.Typer(help="Writes what the API has as JSON lines.", no_args_is_help=True)
app.add_typer(pull_app, name="pull")
pull_app.command("customers")(pull_customers)
app.command()(sandbox)
