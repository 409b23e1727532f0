"""`amili-arm sandbox`: serves the simulated ARM API."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .command import command
from .monitoring import current_run

if TYPE_CHECKING:
    from ..sandbox import Sandbox

__all__ = ["sandbox"]


@command
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0 picks a free one.")] = 8080,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    process_delay: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Time between the 202 for a batch and its result.")] = 0.05,
) -> None:
    """Runs a simulated ARM API on this machine until Ctrl-C or SIGTERM. All data is lost when it ends."""
    from ..sandbox import Sandbox  # noqa: PLC0415 - no other command needs the server of aiohttp

    server = Sandbox(host=host, port=port, process_delay=process_delay)
    try:
        asyncio.run(_serve(server))
    except KeyboardInterrupt:
        return
    except OSError as exc:
        output.fail(f"can't listen on {host}, port {port}: {exc.strerror}")


async def _serve(server: Sandbox) -> None:
    async with server:
        ended = asyncio.Event()
        # In a container it is process 1, which SIGTERM does not end by itself. Windows has no such handlers.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        typer.echo(f"The ARM API of the sandbox: {server.base_url} (any client number)")
        typer.echo(f"Its identity service:       {server.identity_url}")
        typer.echo(f"Client id and secret:       {server.client_id}  {server.client_secret}")
        typer.echo(f"A token:                    {server.token}\n")
        for name, value in server.environ.items():
            typer.echo(f"export {name}={shlex.quote(value)}")
        typer.echo("\nCtrl-C ends it.")
        sys.stdout.flush()
        await current_run().watch(ended.wait(), f"the sandbox serves {server.base_url}")
