"""A journal or a sync state that another user may write is refused, and so is one with several names; each of their files counts."""

import os
import re

import pytest

from amili_arm_async import BulkError, JournalError, prune_journal

from ..support.sandbox_runs import customers, invoices, quick, read_journal, send, writes

RUN = {"run_id": "2026-11-20"}
OTHER = 4711


def as_somebody(path):
    """Makes a file another user's; where this does not run as root, it only looks so."""
    os.chown(path, OTHER, -1)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


async def is_refused(arm, sandbox, journal, words):
    sent = writes(sandbox)
    for use in (
        lambda: send(arm, invoices(3), journal=journal, **RUN),
        lambda: send(arm, customers(3), kind="customers", journal=journal),
        lambda: arm.documents.reconcile(journal),
        lambda: read_journal(journal),
        lambda: prune_journal(journal),
    ):
        with pytest.raises(JournalError, match=words):
            await use()
    assert writes(sandbox) == sent


@pytest.mark.parametrize("side", ["", "-lock", "-wal"])
@needs_root
async def test_a_journal_of_another_user_is_refused(arm, sandbox, journal, side):
    await send(arm, invoices(3), journal=journal, **RUN)
    place = journal.with_name(journal.name + side)
    place.touch()
    as_somebody(place)
    await is_refused(arm, sandbox, journal, rf"{re.escape(place.name)} belongs to user {OTHER}.*chown")


@pytest.mark.parametrize("side", ["", "-lock"])
async def test_a_journal_that_everybody_can_write_is_refused(arm, sandbox, journal, side):
    await send(arm, invoices(3), journal=journal, **RUN)
    place = journal.with_name(journal.name + side)
    place.chmod(0o602)
    await is_refused(arm, sandbox, journal, "every user of this machine can write to.*chmod o-w")


async def test_a_journal_that_its_group_can_write_is_warned_of(arm, journal, caplog):
    await send(arm, invoices(3), journal=journal, **RUN)
    journal.chmod(0o660)
    run = await send(arm, invoices(3), journal=journal, **RUN)
    assert run.report.counts["done_before"] == 3
    assert "the group can write to this file" in caplog.text


@pytest.mark.parametrize("side", ["-lock", "-wal", "-shm"])
async def test_a_link_in_the_place_of_a_side_file_is_refused(arm, sandbox, folder, journal, side):
    await send(arm, invoices(3), journal=journal, **RUN)
    place = journal.with_name(journal.name + side)
    place.unlink(missing_ok=True)
    place.symlink_to(folder / "elsewhere")
    await is_refused(arm, sandbox, journal, "is not a regular file")
    assert not (folder / "elsewhere").exists()


@pytest.mark.needs_file
async def test_a_journal_with_two_names_is_refused_under_both(arm, sandbox, folder, journal):
    await send(arm, invoices(3), journal=journal, **RUN)
    os.link(journal, folder / "other.sqlite")
    for name in (journal, folder / "other.sqlite"):
        await is_refused(arm, sandbox, name, r"has 2 names \(hard links\)")
    (folder / "other.sqlite").unlink()
    assert (await send(arm, invoices(3), journal=journal, **RUN)).report.counts["done_before"] == 3


async def test_a_maker_that_was_killed_leaves_no_second_name(arm, folder, journal):
    """A journal is made under another name and linked to its own: a kill in between leaves both."""
    await send(arm, invoices(3), journal=journal, **RUN)
    os.link(journal, folder / f"{journal.name}.0123abcd.new")
    assert (await send(arm, invoices(3), journal=journal, **RUN)).report.counts["done_before"] == 3
    assert not list(folder.glob("*.new"))


@pytest.mark.parametrize("what", ["everybody can write it", "two names", pytest.param("another user", marks=needs_root)])
async def test_a_sync_state_is_held_to_the_same(arm, sandbox, folder, what):
    state = folder / "customers.sqlite"
    await arm.customers.sync(customers(3), state=state)
    if what == "everybody can write it":
        state.chmod(0o606)
    elif what == "two names":
        os.link(state, folder / "other.sqlite")
    else:
        as_somebody(state)
    sent = writes(sandbox)
    with pytest.raises(JournalError, match="sync state"):
        await arm.customers.sync(customers(3, "Ola"), state=state)
    assert writes(sandbox) == sent


# --- the file that is written is the one at its path ----------------------------------------------------------------------------


def moved_away(path):
    path.rename(path.with_name("gone"))


def replaced(path):
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize("how", [os.unlink, moved_away, replaced], ids=["removed", "moved away", "replaced"])
@pytest.mark.parametrize("side", ["", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["documents", "customers"])
async def test_nothing_more_leaves_when_a_file_of_the_journal_was_taken_away(arm, sandbox, journal, kind, side, how):
    """After the first batch; one batch at a time."""
    records = invoices(400) if kind == "documents" else customers(400)
    done = []

    def outcome(progress):
        if not done:
            done.append(True)
            how(journal.with_name(journal.name + side))

    settings = {"journal": journal, "max_records": 2, "concurrency": 1, "on_progress": outcome, **RUN}
    run = await send(arm, records, kind=kind, raises=BulkError, **settings)
    assert isinstance(run.error.__cause__, JournalError)
    assert "was removed or replaced while" in str(run.error.__cause__)
    assert sum(run.report.counts.values()) == 400
    assert run.report.counts["not_sent"] >= 200
    taken = sandbox.documents.total_taken if kind == "documents" else len(sandbox.customers)
    assert taken < 200


@pytest.mark.parametrize("side", ["", "-wal"])
async def test_the_same_goes_for_a_sync_state(arm, sandbox, folder, side):
    state = folder / "customers.sqlite"
    done = []

    def outcome(progress):
        if not done:
            done.append(True)
            state.with_name(state.name + side).unlink()

    options = quick(max_records=2, concurrency=1, on_progress=outcome)
    run = arm.customers.sync(customers(5000), state=state, options=options)
    with pytest.raises(BulkError) as failed:
        await run
    assert "was removed or replaced while the sync state" in str(failed.value)
