"""`amili-arm sandbox`: serves the simulated ARM API."""

from __future__ import annotations

import asyncio
import shlex
import sys
from typing import Annotated

import typer

from ..sandbox import Sandbox
from . import output
from .demo import CLIENT_NO
from .monitoring import current_run
from .options import command

__all__ = ["sandbox"]


@command
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0 picks a free one.")] = 8080,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    process_delay: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Time between the 202 for a batch and its result.")] = 0.05,
) -> None:
    """Runs a simulated ARM API on this machine until Ctrl-C. All data is lost when it ends."""
    server = Sandbox(host=host, port=port, process_delay=process_delay)
    try:
        asyncio.run(_serve(server))
    except KeyboardInterrupt:
        return
    except OSError as exc:
        output.fail(f"can't listen on {host}, port {port}: {exc.strerror}")


async def _serve(server: Sandbox) -> None:
    async with server:
        variables = {
            "BASE_URL": server.base_url,
            "CLIENT_NO": CLIENT_NO,
            "IDENTITY_URL": server.identity_url,
            "CLIENT_ID": server.client_id,
            "CLIENT_SECRET": server.client_secret,
        }
        typer.echo(f"The ARM API of the sandbox: {server.base_url} (any client number)")
        typer.echo(f"Its identity service:       {server.identity_url}")
        typer.echo(f"Client id and secret:       {server.client_id}  {server.client_secret}")
        typer.echo(f"A token:                    {server.token}\n")
        for name, value in variables.items():
            typer.echo(f"export AMILI_ARM_{name}={shlex.quote(str(value))}")
        typer.echo("\nCtrl-C ends it.")
        sys.stdout.flush()
        await current_run().watch(asyncio.Event().wait(), f"the sandbox serves {server.base_url}")
