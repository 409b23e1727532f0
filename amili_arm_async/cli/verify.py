"""`amili-arm verify`: looks the records of a file up, and compares what the service has with them."""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import typer

from .. import codec
from ..bulk.lookups import ABSENT, differing_fields, is_refusal, is_written, not_found_outcome, record_in
from ..bulk.report import BulkReport
from ..client import ArmClient
from ..errors import ArmError, ConfigurationError, RecordError, StatusError, counted
from ..resources.bulk import CUSTOMERS, DOCUMENTS
from ..resources.concurrent import ConcurrentMap
from ..retry import rule_of
from ..sources.records import Records
from ..unreadable import UnreadableRecord
from . import output
from .command import OUTPUT, RUN, SOURCE, command
from .options import ConnectionOptions, JsonOption
from .progress import UpdateBar, bar
from .runner import run_job
from .source_options import ColumnOptions, KindArgument, LineOptions, RecordFile, SourceOptions
from .wording import PlacedTexts, in_options

__all__ = ["VerifyJob", "verify"]

Verdict: TypeAlias = Literal["same", "differs", "missing", "not_compared"]

_VERDICTS: Final[tuple[Verdict, ...]] = ("same", "differs", "missing", "not_compared")
_MAX_FIELDS: Final = 10
"""Most fields of a record that are named; all are counted."""

_IN_WORDS: Final[Mapping[Verdict, str]] = {
    "same": "are the same",
    "differs": "differ",
    "missing": "are missing",
    "not_compared": "could not be compared",
}

_REASONS: Final[Mapping[str, str]] = {
    "no_number": "it has no number to look up",
    "no_address": "its number can't be part of an address",
    "other_answer": "the answer is not this record",
    "no_answer": "the look-up was not answered",
    "not_found_uncertain": "not found, and it is not sure that the API said so",
}
"""Why a record was not compared; a status stands for itself, and what is invalid has a message."""

_LIST_PLACE: Final = re.compile(r"\[[0-9]+\]")

_KINDS: Final = {"customers": CUSTOMERS, "documents": DOCUMENTS}


@command
def verify(
    kind: KindArgument,
    file: RecordFile,
    connection: ConnectionOptions,
    source: SourceOptions,
    columns: ColumnOptions,
    lines: LineOptions,
    sample: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, rich_help_panel=SOURCE, help="Compare only N records, drawn at random. The whole file is read first."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=SOURCE, help="Draw the sample of an earlier run again, which printed this seed."),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", min=1, rich_help_panel=RUN, help="Number of look-ups at the same time. Default: 8.")
    ] = None,
    max_bytes: Annotated[int, typer.Option(min=1, metavar="BYTES", rich_help_panel=SOURCE, help="Maximum size of a record.")] = 16_000_000,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=OUTPUT, help="Show no progress bar.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Looks each record of FILE up by its number, and compares what the service has with it. It only reads.

    A record is the same if the service has every field of FILE with the same value; what the service added does not count. Fields that
    differ are named, not their values.

    Exit code 0: all were compared and are the same; 1: some differ, are missing or can't be compared; 2: usage error.
    """
    if seed is not None and sample is None:
        raise ConfigurationError("--seed needs --sample: give that too")
    arm = connection.client()
    with source.open(file, kind.value, max_bytes, lines.add_to(columns.of(kind.value), kind.value)) as records:
        job = VerifyJob(arm, kind.value, sample, seed, concurrency or 8, quiet)
        raise typer.Exit(run_job(job, job.run(records), is_durable=False, as_json=as_json))


class _Item(NamedTuple):
    """A record of the file.

    Attributes:
        position: in the file, from 0.
        key: its number, or None.
        text: what would be sent; None where it can't be written.
        fault: why it can't be written.
    """

    position: int
    key: str | None
    text: bytes | None
    fault: str = ""


class Comparison(NamedTuple):
    """What a look-up showed.

    Attributes:
        position: of the record in the file, from 0.
        key: its number, or None.
        verdict: what it is.
        reason: why it can't be compared, else empty.
        fields: the paths of the fields that differ.
        message: says more about the reason, or is empty.
    """

    position: int
    key: str | None
    verdict: Verdict
    reason: str = ""
    fields: tuple[str, ...] = ()
    message: str = ""


@dataclass
class VerifyJob:
    """One comparison of a file with the service; correct at any time.

    Attributes:
        arm: the client; it is closed at the end.
        kind: what the records are.
        sample: how many records are compared, drawn at random; None: all.
        seed: of the sample; None: a new one.
        concurrency: look-ups at the same time.
        quiet: whether no progress is shown.
        read: number of records read.
        counts: number of records by verdict.
        fields: by path, in how many records the field differs.
        named: the first records of the file that are not the same.
        is_complete: whether all that was to be compared was.
    """

    arm: ArmClient
    kind: Literal["customers", "documents"]
    sample: int | None = None
    seed: int | None = None
    concurrency: int = 8
    quiet: bool = False
    read: int = 0
    counts: Counter[Verdict] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    named: list[Comparison] = field(default_factory=list)
    is_complete: bool = False
    _reasons: Counter[str] = field(default_factory=Counter)
    _records: Records | None = None

    async def run(self, records: Records) -> None:
        """Compares the records.

        Args:
            records: the open file; it is closed at the end.

        Raises:
            ArmError: the file can't be read to its end, or a look-up was refused as all others would be.
            InterruptedRunError: a signal ended it.
        """
        self._records = records
        if self.sample is not None and self.seed is None:
            self.seed = random.randrange(2**32)  # noqa: S311 - no secret
        async with self.arm as arm, records:
            span = arm._context.transport.instrumentation.job("verify")  # noqa: SLF001
            with span, bar(f"verify {self.kind}", self.sample, quiet=self.quiet) as update:
                items = self._items(records) if self.sample is None else self._sample(records, self.sample)
                async with aclosing(items) as given, ConcurrentMap(given, self._compare, at_once=self.concurrency, ordered=False) as found:
                    async for one in found:
                        self._add(one)
                        self._show(update, records)
        self.is_complete = True

    def _show(self, update: UpdateBar | None, records: Records) -> None:
        if update is not None:
            done, share = self.counts.total(), records.fraction_read()
            shown = ", ".join(f"{verdict} {self.counts[verdict]:,}" for verdict in _VERDICTS if self.counts[verdict])
            update(done, shown, self.read / share if share else None)

    async def _items(self, records: Records) -> AsyncGenerator[_Item]:
        kind = _KINDS[self.kind]
        async for record in records:
            text, key, fault = None, None, ""
            if isinstance(record, UnreadableRecord):
                fault, key = record.fault, record.get(kind.wire_key)
            else:
                try:
                    text = codec.encode_one(record, kind.cls)
                    key = kind.key_of(text)
                except RecordError as exc:
                    fault = str(exc)
            self.read += 1
            yield _Item(self.read - 1, key if isinstance(key, str) else None, text, fault)

    async def _sample(self, records: Records, number: int) -> AsyncGenerator[_Item]:
        """Draws so many records: each of the file is as likely to be among them."""
        draw = random.Random(self.seed)  # noqa: S311 - no secret
        drawn: list[_Item] = []
        async with aclosing(self._items(records)) as items:
            async for item in items:
                if len(drawn) < number:
                    drawn.append(item)
                elif (place := draw.randrange(item.position + 1)) < number:
                    drawn[place] = item
        for item in sorted(drawn):
            yield item

    # --- one record -------------------------------------------------------------------------------------------------------

    async def _compare(self, item: _Item) -> Comparison:
        """Looks a record up.

        Raises:
            ArmError: every other look-up would be refused, too.
        """
        if item.text is None:
            return Comparison(item.position, item.key, "not_compared", "invalid", message=item.fault)
        if item.key is None:
            return Comparison(item.position, None, "not_compared", "no_number")
        kind, operation = _KINDS[self.kind], f"{self.kind}.get"
        context = self.arm._context  # noqa: SLF001
        try:
            path = {kind.wire_key.lower(): item.key}
            request = context.request(operation, query={"userid": context.user_id}, path=path)
        except ConfigurationError:
            return Comparison(item.position, item.key, "not_compared", "no_address")
        try:
            response = await context.transport.send(request)
        except ArmError as exc:
            if is_refusal(exc):
                raise
            return self._not_answered(item, item.key, item.text, exc)
        found = record_in(item.key, response, operation=operation, key=kind.wire_key)
        if found is None:
            return Comparison(item.position, item.key, "not_compared", "other_answer")
        fields = tuple(differing_fields(item.text, found))
        return Comparison(item.position, item.key, "differs" if fields else "same", "", fields)

    def _not_answered(self, item: _Item, key: str, text: bytes, error: ArmError) -> Comparison:
        if isinstance(error, StatusError):
            if rule_of(error.status).look_up != "absent":
                return Comparison(item.position, key, "not_compared", str(error.status))
            if not_found_outcome(error) is ABSENT and is_written(key, text, key=_KINDS[self.kind].wire_key):
                return Comparison(item.position, key, "missing")
            return Comparison(item.position, key, "not_compared", "not_found_uncertain")
        return Comparison(item.position, key, "not_compared", "no_answer")

    def _add(self, one: Comparison) -> None:
        self.counts[one.verdict] += 1
        self.fields.update({_LIST_PLACE.sub("[]", path) for path in one.fields})
        if one.reason:
            self._reasons[one.reason] += 1
        if one.verdict != "same":
            self.named.append(one)
            if len(self.named) > 2 * output.MAX_NAMED:
                self.named = heapq.nsmallest(output.MAX_NAMED, self.named)

    # --- the result -------------------------------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """Whether all that was to be compared was, and is the same."""
        return self.is_complete and self.counts.total() == self.counts["same"]

    def bulk_reports(self) -> Mapping[str, BulkReport]:
        """Returns nothing: there is no bulk run.

        Returns:
            An empty mapping.
        """
        return {}

    def as_json(self) -> dict[str, Any]:
        """Returns the report for programs.

        Returns:
            A JSON object.
        """
        return {
            "read": self.read,
            "compared": self.counts.total(),
            "counts": {verdict: self.counts[verdict] for verdict in _VERDICTS},
            "reasons": dict(self._reasons),
            "fields": dict(self.fields.most_common()),
            "first": [
                {
                    "line": self._line(one.position),
                    "key": one.key,
                    "verdict": one.verdict,
                    "reason": one.reason or None,
                    "message": in_options(one.message) or None,
                    "fields": one.fields,
                }
                for one in self._first()
            ],
            "sample": self.sample,
            "seed": self.seed,
        }

    def print_table(self) -> None:
        """Prints the report for people, on standard error."""
        rows: list[tuple[str, ...]] = [(verdict, f"{self.counts[verdict]:,}") for verdict in _VERDICTS if self.counts[verdict]]
        rows += [(f"not_compared: {reason}", f"{number:,}") for reason, number in self._reasons.most_common()]
        rows += [(), ("read", f"{self.read:,}")]
        output.table(f"verify {self.kind}", ("", "records"), rows, stderr=True)
        if self.fields:
            differing = [(output.plain(path), f"{number:,}") for path, number in self.fields.most_common(20)]
            output.table("fields that differ", ("", "records"), differing, stderr=True)
        if self.sample is not None:
            output.warn(f"a sample of {self.sample:,} records: the same again with --sample {self.sample} --seed {self.seed}")

    def name_failures(self) -> None:
        """Names on standard error the first records that are not the same, in the order of the file."""
        assert self._records is not None
        first, found = self._first(), PlacedTexts()
        for one in first:
            where = self._records.place(one.position)
            named = f", key {output.plain(one.key)}" if one.key is not None else ""
            found.add(_told(one, where), one.position, f"{where}{named}")
        for line in found.lines():
            output.say(line)
        if (left := self.counts.total() - self.counts["same"] - len(first)) > 0:
            output.say(f"... and {left:,} more")
        if self.counts["missing"] and not self.counts["same"] and not self.counts["differs"]:
            output.warn("none of them was found: run `amili-arm doctor`, and check the client number, before you take them for missing")
        if not self.ok and self.is_complete:
            told = [f"{self.counts[verdict]:,} {words}" for verdict, words in _IN_WORDS.items() if self.counts[verdict]]
            output.warn_at_end(f"of {counted(self.counts.total(), 'record')}, {_enumerated(told)}")

    def _first(self) -> list[Comparison]:
        return heapq.nsmallest(output.MAX_NAMED, self.named)

    def _line(self, position: int) -> int:
        assert self._records is not None
        return self._records.line(position)


def _told(one: Comparison, where: str) -> str:
    """Returns what is said of a record that is not the same."""
    if one.fields:
        more = f" and {len(one.fields) - _MAX_FIELDS} more" if len(one.fields) > _MAX_FIELDS else ""
        return f"{one.verdict}: {', '.join(map(output.plain, one.fields[:_MAX_FIELDS]))}{more}"
    if not one.reason:
        return one.verdict
    message = one.message or _REASONS.get(one.reason, f"the look-up was answered {one.reason}")
    return f"{one.verdict} ({one.reason}) {in_options(output.plain(output.without_place(message, where), most=2000))}"


def _enumerated(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
