"""The commands of `amili-arm`.

Exit codes: 0 everything succeeded, 1 something failed, 2 wrong use; 130, 143, 141 ended by SIGINT, SIGTERM, a closed pipe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from .. import __version__
from .check import check
from .columns import columns
from .command import AnyCommandsConfig
from .config import config_app
from .demo import demo
from .doctor import doctor
from .fields import fields
from .help import ArmCommand, ArmGroup
from .journal import adopt, migrate, prune, status
from .nightly import nightly
from .probe.command import probe
from .pull import pull_customers
from .push import push
from .reconcile import reconcile
from .replay import replay
from .report import report
from .sandbox import sandbox
from .sync import sync
from .verify import verify

__all__ = ["app"]

app = typer.Typer(
    cls=ArmGroup,
    help="Amili's ARM API from the command line.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    # A traceback with local variables would show tokens and customers.
    pretty_exceptions_enable=False,
)
_DAILY: Final = "Daily work"
_JOURNAL: Final = "Journal"
_TABLES: Final = "Tables and settings"
_TRY: Final = "Try it out"
"""The panels of commands."""


def _version(context: typer.Context, is_given: bool) -> None:
    if is_given and not context.resilient_parsing:
        typer.echo(f"amili-arm {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    config: AnyCommandsConfig = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,
) -> None:
    pass


_COMMANDS: Final[tuple[tuple[str, Callable[..., None], str], ...]] = (
    (_DAILY, check, "List every error in a file. Nothing is sent."),
    (_DAILY, push, "Send the records of a file."),
    (_DAILY, sync, "Send the customers of a file that have changed."),
    (_DAILY, nightly, "Send customers, then their documents, and write reports."),
    (_DAILY, replay, "Send the records of a dead letter file again."),
    (_DAILY, report, "Make an HTML page or a CSV file from a report in JSON."),
    (_DAILY, verify, "Compare what the service has with the records of a file."),
    (_JOURNAL, status, "Show the runs of a journal, even while one is in progress."),
    (_JOURNAL, reconcile, "Find out what became of documents that are unknown."),
    (_JOURNAL, prune, "Remove old runs from a journal."),
    (_JOURNAL, adopt, "Declare a journal valid that was moved or copied."),
    (_JOURNAL, migrate, "Make the tables of journals in a PostgreSQL database."),
    (_TABLES, doctor, "Check the settings, one token, one read and the clock."),
    (_TABLES, fields, "List the fields of customers or documents."),
    (_TABLES, columns, "Propose which fields the columns of a file are."),
    (_TRY, demo, "Send generated records to a sandbox in this process."),
    (_TRY, sandbox, "Run a simulated ARM API on this machine until Ctrl-C."),
    (_TRY, probe, "Compare a real service with what this library assumes."),
)
"""Each command with its panel, and its line in the list of commands."""

for _panel, _command, _line in _COMMANDS:
    app.command(cls=ArmCommand, rich_help_panel=_panel, short_help=_line)(_command)
app.add_typer(config_app, name="config", cls=ArmGroup, rich_help_panel=_TABLES, short_help="Show the settings, and where each comes from.")
pull_app = typer.Typer(cls=ArmGroup, help="Writes what the API has as JSON lines.", no_args_is_help=True)
app.add_typer(pull_app, name="pull", rich_help_panel=_DAILY, short_help="Write what the API has as JSON lines.")
pull_app.command("customers", cls=ArmCommand, short_help="Write the customers that match all criteria.")(pull_customers)
