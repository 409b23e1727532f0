"""The life of one journal, by hand: `python -m tests.proof.storm --stories 40 --seed 7`.

Each story is a folder with invoices and somebody who gives `amili-arm` commands at random: push, nightly, reconcile, replay, another run
id, prune; the file comes in another order, longer, and spelled otherwise; the journal is put back from a copy, or removed. The server
commits faults, and a command is killed with SIGKILL when the server has seen an event: a write that begins, a whole body, records
taken, an answer sent, a read. After each command, what it reports is held against the server's log. All on this machine, in a
temporary folder. Ends with status 1 where an invoice was taken twice or a report is not true, and prints the story.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..support.ledger import Line, content_hash, parse
from .control import Tenant, serving
from .fork_server import ForkServer, fork_server
from .killer import FAULTS, POLLS
from .sources import Source

__all__ = ["Story", "main", "meaning", "spelled_otherwise"]

EVENTS = ("writes", "whole", "taken", "answered", "reads")
FORMS = ("D{:05}", "2026/{:04}", "INV-{:04}", "{:06}", "Å{:03}")
SIDES = ("", "-wal", "-shm", "-mark")

SETTINGS = """
[connection]
base_url = "{base_url}"
client_no = {client}
identity_url = "{identity_url}"
client_id = "proof"
[connection.retry]
base_delay = 0.002
max_delay = 0.02
[connection.timeout]
read = 0.4
[bulk]
max_records = 4
concurrency = 3
deadline = 0.3
patience = 5
"""


# --- what an invoice says -------------------------------------------------------------------------------------------------


def meaning(record: Any) -> Any:
    """What a record says, however it is spelled: null, blank and absent are one, texts are without outer blanks and composed."""
    if isinstance(record, dict):
        kept = {name: meaning(value) for name, value in record.items()}
        return {name: value for name, value in kept.items() if value not in (None, "", [], {})}
    if isinstance(record, list):
        return [meaning(item) for item in record]
    if isinstance(record, str):
        return unicodedata.normalize("NFC", record).strip()
    return record


def name_of(record: dict[str, Any]) -> str:
    """What makes two documents the same one: the number, else all that is said."""
    said = meaning(record)
    number = said.get("documentNo")
    return f"number {number}".casefold() if number is not None else content_hash(said)


def spelled_otherwise(value: Any, rng: random.Random, *, number_too: bool) -> Any:
    """The same record, written in another way; its number only where that is asked for."""
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        written = {name: spelled_otherwise(value[name], rng, number_too=number_too) for name in names}
        if "documentNo" in value and not number_too:
            written["documentNo"] = value["documentNo"]
        if "documentType" in value and rng.random() < 0.5:
            written[rng.choice(["buyerReference", "kid", "netsRefNo"])] = rng.choice([None, "", " "])
        return written
    if isinstance(value, list):
        return [spelled_otherwise(item, rng, number_too=number_too) for item in value]
    if isinstance(value, str) and rng.random() < 0.3:
        return rng.choice([f" {value}", f"{value} ", unicodedata.normalize("NFD", value)])
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.3:
        return _Number(f"{Decimal(repr(value)):.3f}") if rng.random() < 0.5 else _Number(f"{Decimal(repr(value)):E}")
    return value


class _Number(float):
    """A number that is written as it is spelled."""

    def __new__(cls, text: str) -> _Number:
        made = super().__new__(cls, text)
        made.text = text  # type: ignore[attr-defined]
        return made

    def __repr__(self) -> str:
        return str(self.text)  # type: ignore[attr-defined]


def _written(value: Any, rng: random.Random) -> str:
    """JSON, with numbers as they are spelled."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_written(item, rng)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(item, rng) for item in value) + "]"
    return repr(value) if isinstance(value, _Number) else json.dumps(value, ensure_ascii=rng.random() < 0.5)


# --- a story --------------------------------------------------------------------------------------------------------------


@dataclass
class Summary:
    """What came of all stories."""

    stories: int = 0
    documents: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    failures: int = 0

    def lines(self) -> list[str]:
        """For a person."""
        rows = {"stories": self.stories, "documents": self.documents, "commands": self.commands.total()}
        rows |= {"kills": self.kills.total(), "faults of the server": self.faults.total(), "taken twice, or told wrongly": self.failures}
        counted = {"commands": self.commands, "kills by event": self.kills, "last report, by state": self.states}
        lines = [f"{name:<32}{number:>8}" for name, number in rows.items()]
        return lines + [f"{name}: {', '.join(f'{word} {count}' for word, count in sorted(of.items()))}" for name, of in counted.items()]


class Story:
    """One folder, its invoices, and what was done.

    Args:
        tenant, forks: where it sends to, and what starts the commands.
        folder: an empty one.
        seed: decides everything that is not the network's.
    """

    def __init__(self, tenant: Tenant, forks: ForkServer, folder: Path, seed: int) -> None:
        self.rng = random.Random(f"story {seed}")
        # Without numbers nothing can be said across runs, or where the journal is gone.
        self.careful = self.rng.random() < 0.4
        source = Source("documents", seed, self.rng.choice([12, 30, 60]), 0.6 if self.careful else 1.0)
        form = self.rng.choice(FORMS)
        self.records = [
            {**record, "documentNo": form.format(int(record["documentNo"][1:]))} if "documentNo" in record else record
            for record in source.records()
        ]
        self.tenant = tenant
        self.forks = forks
        self.folder = folder
        self.log = [f"story {seed}: {len(self.records)} documents, {form}, {'one run id' if self.careful else 'anything goes'}"]
        self.places: list[int] = []
        self.lost_journal = False
        self.copies = 0
        # For each line of the server's log, the run of the command that was going on; None: it may be of any run.
        self.run_of: list[str | None] = []
        settings = SETTINGS.format(base_url=tenant.base_url, client=tenant.client, identity_url=tenant.identity_url)
        (folder / "arm.toml").write_text(settings)
        (folder / "customers.jsonl").write_text('{"customerNo":"1","name":"Somebody"}\n')

    # --- commands ---------------------------------------------------------------------------------------------------------

    def write_file(self, share: float, *, otherwise: bool) -> None:
        """The file as the source gives it this time."""
        self.places = list(range(round(len(self.records) * share)))
        if otherwise:
            self.rng.shuffle(self.places)
        lines = []
        for place in self.places:
            record = self.records[place]
            if otherwise:
                # This server takes a number with a blank for another one, and a look-up for a run that is lost can't know of it.
                record = spelled_otherwise(record, self.rng, number_too=self.careful)
            lines.append(_written(record, self.rng))
        (self.folder / "documents.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")

    def command(self, *words: str, kill: tuple[str, int] | None = None) -> dict[str, Any] | None:
        """One command to its end; None where it was killed at that event of the server."""
        environment = {"AMILI_ARM_CONFIG": str(self.folder / "arm.toml"), "AMILI_ARM_CLIENT_SECRET": "proof"}
        instructions = {"command": [*words], "environment": environment, "folder": str(self.folder)}
        before = self.tenant.wait()
        child = self.forks.start(instructions)
        if kill is not None and before is not None:
            event, number = kill
            if self.tenant.wait(unless=child.pid, **{event: before[event] + number}) is not None:
                child.kill()
        found = child.wait()
        self.log.append(f"{' '.join(words)}   {'killed at ' + str(kill) if found is None else found['code']}")
        if found is not None:
            self.log.append(f"    {found['printed'].strip()[-600:]}")
            errors = child.errors.read_text().strip()
            self.log += [f"    ! {line}" for line in errors.splitlines()[-4:]]
            self.is_true("Traceback" not in errors, f"a traceback: {errors}")
        run_id = words[words.index("--run-id") + 1] if "--run-id" in words else None
        self.run_of += [run_id] * (len(self.lines()) - len(self.run_of))
        return found

    def push(self, run_id: str, kill: tuple[str, int] | None = None, *extra: str) -> dict[str, Any] | None:
        """Sends the file, and holds what is reported against the server."""
        words = ["push", "documents", "documents.jsonl", "--journal", "journal.sqlite", "--run-id", run_id]
        found = self.command(*words, "--dead-letter", "dead.jsonl", "--json", *extra, kill=kill)
        if found is not None and found["code"] in {0, 1} and '"counts"' in found["printed"]:
            self.check_report(json.loads(found["printed"].strip().splitlines()[-1]), run_id)
        return found

    def nightly(self, run_id: str, kill: tuple[str, int] | None = None) -> dict[str, Any] | None:
        """The same with customers before it."""
        words = ["nightly", "--customers", "customers.jsonl", "--documents", "documents.jsonl", "--journal", "journal.sqlite"]
        return self.command(*words, "--run-id", run_id, "--dead-letter-documents", "dead.jsonl", "--json", kill=kill)

    def reconcile(self, kill: tuple[str, int] | None = None, *, again: bool) -> dict[str, Any] | None:
        """Looks up what is unknown."""
        extra = ("--settle", "0.35", "--resend-absent") if again else ("--settle", "0.1")
        return self.command("reconcile", "journal.sqlite", *extra, "--json", kill=kill)

    # --- what must be true ------------------------------------------------------------------------------------------------

    def is_true(self, claim: object, otherwise: str) -> None:
        """Ends the story where a claim does not hold."""
        if not claim:
            raise AssertionError("\n".join([otherwise, *self.log]))

    def lines(self) -> list[Line]:
        """What the server took."""
        return [line for line in self.tenant.truth().lines if line.kind == "documents"]

    def check_once(self) -> None:
        """No invoice was taken more often than the source has it."""
        wanted = Counter(name_of(record) for record in self.records)
        taken = Counter(name_of(parse(line.record)) for line in self.lines() if line.is_success)
        twice = {name: number for name, number in taken.items() if number > wanted[name]}
        self.is_true(not twice, f"TAKEN TWICE: {twice}")

    def check_report(self, report: dict[str, Any], run_id: str) -> None:
        """Every record of the file is in one state, and none that the server contradicts."""
        counts: dict[str, int] = report["counts"]
        self.is_true(sum(counts.values()) == report["records"] == len(self.places), f"{counts} are not {len(self.places)} records")
        failures = self.failures(run_id)
        self.is_true(len(failures) == report["failed_records"], f"{report['failed_records']} failed, {len(failures)} in the dead letter")
        taken = Counter(name_of(parse(line.record)) for line in self.lines() if line.is_success)
        # That this run did not send it is true of a document that only another run has sent.
        sent = {
            name_of(parse(line.record))
            for line, sender in zip_longest(self.lines(), self.run_of)
            if line.is_success and sender in {run_id, None}
        }
        touched = Counter(name_of(parse(line.record)) for line in self.lines())
        named: Counter[str] = Counter()
        for index, place in enumerate(self.places):
            name = name_of(self.records[place])
            state, payload = failures.get(index, ("", None))
            self.is_true(payload is None or name_of(payload) == name, f"line {index} of the dead letter is of another record")
            named[name] += not state
            if state in {"accepted", "failed"}:
                self.is_true(touched[name], f"{name} is called {state}, and nobody took it")
            if state in {"rejected", "not_sent"} and self.is_numbered(place) and not self.lost_journal:
                self.is_true(name not in sent, f"{name} is called {state}, and was taken")
        for name, number in named.items():
            self.is_true(taken[name] >= number, f"{name} is called done {number} times, and was taken {taken[name]} times")

    def is_numbered(self, place: int) -> bool:
        """Whether a record has a number."""
        return "documentNo" in self.records[place]

    def failures(self, run_id: str) -> dict[int, tuple[str, Any]]:
        """State and payload by the place in the file, as the dead letter has them for this run."""
        found: dict[int, tuple[str, Any]] = {}
        path = self.folder / "dead.jsonl"
        for text in path.read_text("utf-8").splitlines() if path.exists() else ():
            line = parse(text)
            if line["run_id"] == run_id and line["index"] is not None:
                self.is_true(line["index"] not in found, f"record {line['index']} is in the dead letter twice")
                found[line["index"]] = line["state"], line["payload"]
        return found

    # --- the plot ---------------------------------------------------------------------------------------------------------

    def tell(self, summary: Summary) -> None:
        """Does it all."""
        rng = self.rng
        if rng.random() < 0.8:
            rate = rng.choice([0.1, 0.3])
            self.tenant.plan(random_faults={"seed": f"{self.log[0]}", "rate": rate, "most": 12, "faults": FAULTS, "polls": POLLS}, lag=0.05)
        self.tenant.plan(delay=rng.choice([0.0, 0.05]), hides=rng.choice([[], [], ["%2F"], ["%C3"]]))
        for number in range(rng.randrange(3, 8)):
            self.one(number, summary)
            self.check_once()
        self.tenant.plan(well=True)
        self.write_file(1.0, otherwise=False)
        for _ in range(2):
            self.push("A")
            self.check_once()
        self.reconcile(again=True)
        self.check_once()
        writes = len(self.tenant.truth().writes)
        last = self.push("A")
        self.check_once()
        self.is_true(last is not None and last["code"] in {0, 1}, "the last push did not end")
        assert last is not None
        counts = json.loads(last["printed"].strip().splitlines()[-1])["counts"]
        again = counts["succeeded"] + counts["failed"] + counts["rejected"]
        self.is_true(again or len(self.tenant.truth().writes) == writes, "the last push sent something, and says that it did not")
        self.is_true(not counts["not_sent"], f"something can't be sent: {counts}")
        summary.states.update({state: number for state, number in counts.items() if number})
        summary.faults.update(write["fault"] for write in self.tenant.truth().writes if write["fault"] != "ok")
        summary.documents += len(self.records)

    def one(self, number: int, summary: Summary) -> None:
        """One command, perhaps killed, or an accident of the journal."""
        rng = self.rng
        kill = (rng.choice(EVENTS), rng.randrange(1, 6)) if rng.random() < 0.5 else None
        choices = ["push"] * 4 + ["reconcile", "resend", "replay", "nightly"] if number else ["push"]
        choices += [] if self.careful or not number else ["other run", "copy", "copy back", "unlink", "prune", "lose the log"]
        what = rng.choice(choices)
        summary.commands[what] += 1
        if what in {"push", "other run", "nightly"}:
            self.write_file(rng.choice([0.5, 0.8, 1.0]), otherwise=rng.random() < 0.6)
        found: dict[str, Any] | None = {}
        if what == "push":
            extra = ("--reconcile", "--settle", "0.1") if rng.random() < 0.3 else ()
            found = self.push("A", kill, *extra)
        elif what == "other run":
            found = self.push("B", kill)
        elif what == "nightly":
            found = self.nightly("A", kill)
        elif what in {"reconcile", "resend"}:
            found = self.reconcile(kill, again=what == "resend")
        elif what == "replay":
            found = self.command("replay", "dead.jsonl", "--json", kill=kill)
        elif what == "prune":
            found = self.command("prune", "journal.sqlite", kill=kill)
        else:
            self.accident(what)
        if found is None and kill is not None:
            summary.kills[kill[0]] += 1

    def accident(self, what: str) -> None:
        """Something happens to the file of the journal, while nobody uses it."""
        self.log.append(f"({what})")
        journal = self.folder / "journal.sqlite"
        if what == "copy":
            self.copies += 1
            for side in SIDES[:3]:
                kept = Path(f"{journal}{side}")
                if kept.exists():
                    shutil.copy(kept, self.folder / f"copy.sqlite{side}")
        elif what == "copy back" and (self.folder / "copy.sqlite").exists():
            self.lost_journal = True
            for side in SIDES[:3]:
                Path(f"{journal}{side}").unlink(missing_ok=True)
                if (self.folder / f"copy.sqlite{side}").exists():
                    shutil.copy(self.folder / f"copy.sqlite{side}", Path(f"{journal}{side}"))
        elif what == "unlink":
            self.lost_journal = True
            for side in SIDES[:3]:
                Path(f"{journal}{side}").unlink(missing_ok=True)
        elif what == "lose the log":
            self.lost_journal = True
            for side in SIDES[1:3]:
                Path(f"{journal}{side}").unlink(missing_ok=True)


def main() -> int:
    """Tells stories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", type=int, default=40, help="how many (default 40)")
    parser.add_argument("--seed", type=int, default=7, help="of the first; each has the next one (default 7)")
    arguments = parser.parse_args()
    summary, started = Summary(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="storm-") as name, serving(Path(name)) as server, fork_server(Path(name)) as forks:
        for seed in range(arguments.seed, arguments.seed + arguments.stories):
            folder = Path(name) / f"story-{seed}"
            folder.mkdir()
            story = Story(server.tenant(), forks, folder, seed)
            try:
                story.tell(summary)
            except Exception as exc:
                summary.failures += 1
                print(f"FAILED: python -m tests.proof.storm --stories 1 --seed {seed}\n{exc}\n", flush=True)
            summary.stories += 1
    print("\n".join(summary.lines()))
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
