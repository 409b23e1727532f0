"""A journal that was written under other rules of identity is refused wherever it is opened, and left as it is.

`journal_of_version_1.sql` is a dump of a journal that the commit before version 2 wrote: four documents, two of them unknown.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from amili_arm_async import JournalError, prune_journal, read_journal

from ..support.sandbox_runs import customers, invoices, quick, send, writes

pytestmark = pytest.mark.quick

DUMP = Path(__file__).with_name("journal_of_version_1.sql")
RUN = {"run_id": "2026-11-20"}
MESSAGE = (
    r"was written by an earlier version of this library \(format version 1\), with different rules for which documents are the same\. "
    r"Finish its runs with the version of the library that began them; then start a new journal at another path"
)


@pytest.fixture
def old(folder, sandbox):
    path = folder / "nightly.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 65536")
        connection.execute("PRAGMA application_id = 1095912810")
        connection.execute("PRAGMA user_version = 1")
        connection.executescript(DUMP.read_text("utf-8").replace("http://127.0.0.1:8080/arm/v1", sandbox.base_url))
        connection.execute("PRAGMA journal_mode = WAL")
    return path


@pytest.mark.parametrize("way", ["the same run", "another run", "customers", "reconcile", "status", "prune"])
async def test_it_is_refused_and_left_as_it_is(arm, sandbox, old, way):
    before, beside = old.read_bytes(), sorted(old.parent.iterdir())
    with pytest.raises(JournalError, match=MESSAGE):
        if way == "the same run":
            await arm.documents.create_many(invoices(4), options=quick(journal=old, **RUN))
        elif way == "another run":
            await arm.documents.create_many(invoices(4), options=quick(journal=old, run_id="2026-11-21"))
        elif way == "customers":
            await arm.customers.create_many(customers(4), options=quick(journal=old, **RUN))
        elif way == "reconcile":
            await arm.documents.reconcile(old, settle=0)
        elif way == "status":
            await read_journal(old)
        else:
            await prune_journal(old, run_id="2026-11-20")
    assert writes(sandbox) == 0
    assert sandbox.requests.total() == 0
    assert old.read_bytes() == before
    assert sorted(old.parent.iterdir()) == beside


async def test_a_new_journal_beside_it(arm, sandbox, old):
    assert (await send(arm, invoices(2), journal=old.with_name("new.sqlite"), **RUN)).counts == {"succeeded": 2}


def test_a_replay_refuses_it(old, sandbox):
    from amili_arm_async.bulk.journal.factory import replay_journals
    from amili_arm_async.bulk.journal.run_key import RunKey

    before = old.read_bytes()
    run = RunKey("2026-11-20", "documents.create_batch", 2218, sandbox.base_url, safe=False)
    with pytest.raises(JournalError, match="Finish its runs with the version"):
        replay_journals().read_run(str(old), run, list)
    assert old.read_bytes() == before
