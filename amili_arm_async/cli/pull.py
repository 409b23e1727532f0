"""`amili-arm pull customers`: writes a list as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

import typer

from ..client import ArmClient
from ..errors import ArmError, TruncatedListError
from ..files import AtomicFile
from ..paging import Pager
from . import output
from .command import OUTPUT, command
from .options import ConnectionOptions
from .progress import UpdateBar, bar
from .runner import run_to_end
from .signals import SignalHandler
from .stdout import StandardOutput

__all__ = ["PullJob", "Write", "pull_customers"]

_BLOCK: Final = 65_536
_BROKEN_PIPE: Final = 141

Write: TypeAlias = Callable[[bytes], Awaitable[None]]


@command
def pull_customers(
    connection: ConnectionOptions,
    customer_no: Annotated[str | None, typer.Option(metavar="NUMBER", help="The customer with this number.")] = None,
    account_no: Annotated[str | None, typer.Option(metavar="NUMBER", help="The customer with this account.")] = None,
    organization_no: Annotated[str | None, typer.Option(metavar="NUMBER", help="Customers with this organisation number.")] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Customers with this name.")] = None,
    category: Annotated[str | None, typer.Option(metavar="CODE", help="Customers of this category, for example CONS.")] = None,
    expand: Annotated[str | None, typer.Option(metavar="TEXT", help="Passed to the API as it is.")] = None,
    options: Annotated[str | None, typer.Option(metavar="TEXT", help="Passed to the API as it is.")] = None,
    maximum_count: Annotated[int | None, typer.Option(metavar="N", help="Maximum number of records; reaching it is not an error.")] = None,
    query: Annotated[str | None, typer.Option(metavar="ID", help="Id of an earlier query, to read its pages again.")] = None,
    page_no: Annotated[int | None, typer.Option(metavar="N", help="First page to read.")] = None,
    page_size: Annotated[int, typer.Option(metavar="N", help="Records per page, 5 to 1000.")] = 1000,
    language: Annotated[str | None, typer.Option(metavar="CODE", help="Language of the texts in the answer (Accept-Language).")] = None,
    prefetch: Annotated[int, typer.Option(min=0, metavar="N", help="Pages fetched at the same time; 0 fetches one after the other.")] = 4,
    allow_truncated: Annotated[
        bool, typer.Option("--allow-truncated", help="Accept a list that reaches the API's limit, or is incomplete.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            rich_help_panel=OUTPUT,
            help="File to write; only its owner can read it. It appears when it is complete.",
        ),
    ] = None,
) -> None:
    """Writes the customers that match all criteria to standard output, one per line, as the API returns them."""
    arm = connection.client()
    pager = arm.customers.list(
        customer_no=customer_no,
        account_no=account_no,
        organization_no=organization_no,
        name=name,
        customer_category=category,
        expand=expand,
        options=options,
        maximum_count=maximum_count,
        query=query,
        page_no=page_no,
        page_size=page_size,
        language=language,
        allow_truncated=allow_truncated,
        # Nobody waits for a page of a job: one that does not come is asked for again, as often as the settings say.
        timeout=arm._context.transport.timeout.for_job(),  # noqa: SLF001
    )
    job = PullJob(arm, pager.raw(), prefetch)
    raise typer.Exit(_pull(job, target if target != "-" else None))


def _pull(job: PullJob, target: str | None) -> int:
    """Pulls into the file, or to standard output where it is None, and returns the exit code."""
    with SignalHandler() as signals, _draft(target) if target is not None else nullcontext() as draft:
        try:
            code = run_to_end(_write(job, draft), signals)
            if draft is not None and not code:
                draft.keep()
        except BrokenPipeError:
            # The reader has enough: the exit code of a program that SIGPIPE ended.
            return _BROKEN_PIPE
        except OSError as exc:
            output.warn(f"{target or 'standard output'} can't be written: {exc.strerror}")
            return 1
    if code and draft is not None:
        output.warn(f"{target} was not written")
    return code


async def _write(job: PullJob, draft: AtomicFile | None) -> None:
    # On a terminal that shows the records, a bar would be between them.
    with bar("pull customers") if draft is not None or not sys.stdout.isatty() else nullcontext() as update:
        try:
            await job.run(draft.write if draft is not None else StandardOutput().write, update)
        except TruncatedListError as exc:
            again = "Pull it again" if exc.is_short else "Narrow the query, for example with --category"
            raise ArmError(f"{exc.what}. {again}, or give --maximum-count or --allow-truncated if a part is enough") from None


def _draft(target: str) -> AtomicFile:
    try:
        return AtomicFile(target)
    except OSError as exc:
        output.fail(f"{target} can't be written: {exc.strerror}")


@dataclass
class PullJob:
    """One pull of the customers that match all criteria.

    Each line is the JSON text of a record as the API wrote it: fields that this library does not know, the order of the fields and
    the digits of numbers stay as they are. Only line ends between the parts of a record become blanks, since a line holds one record.

    Attributes:
        arm: the client; it is closed at the end.
        pager: the list.
        prefetch: pages that are fetched concurrently; 0 fetches one after the other.
        read: number of records so far.
    """

    arm: ArmClient
    pager: Pager[bytes]
    prefetch: int = 4
    read: int = 0

    async def run(self, write: Write, update: UpdateBar | None) -> None:
        """Writes every record of every page.

        Args:
            write: takes the bytes of some lines.
            update: moves the progress bar, or None.

        Raises:
            TruncatedListError: after the last record, where the list reached the cap or gave fewer records than it announced.
            ArmError: it could not be read to its end; what was read is written.
            OSError: it could not be written.
        """
        async with self.arm as arm:
            with arm._context.transport.instrumentation.job("pull"):  # noqa: SLF001
                await self._run(write, update)

    async def _run(self, write: Write, update: UpdateBar | None) -> None:
        if not self.prefetch:
            await self._copy(self.pager, write, update)
            return
        async with self.pager.prefetch(self.prefetch) as records:
            await self._copy(records, write, update)

    async def _copy(self, records: AsyncIterable[bytes], write: Write, update: UpdateBar | None) -> None:
        block = bytearray()
        try:
            async for record in records:
                block += _one_line(record)
                self.read += 1
                if len(block) >= _BLOCK:
                    await write(bytes(block))
                    block.clear()
                    if update is not None:
                        update(self.read, "")
        except ArmError:
            await write(bytes(block))
            raise
        await write(bytes(block))
        if update is not None:
            update(self.read, "")


def _one_line(text: bytes) -> bytes:
    # A line end inside a string is not valid JSON: such a page can't be parsed, and is not passed on.
    return text.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"
