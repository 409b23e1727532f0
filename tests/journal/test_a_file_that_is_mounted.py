"""A journal, a state or a dead letter that is mounted as a single file is refused: what belongs beside it does not stay with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from amili_arm_async import BulkError, ConfigurationError, JournalError, files
from amili_arm_async.files import AtomicFile, JobFile, check_writable, is_mounted

from ..support.sandbox_runs import invoices, send

pytestmark = pytest.mark.quick

LINE = "36 35 98:0 /data/j {place} rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n"


@pytest.fixture
def mount(monkeypatch):
    """Makes a path look like a mount point, as the kernel tells it."""
    real = Path.read_bytes

    def do(path):
        place = str(path).replace("\\", "\\134").replace(" ", "\\040")
        text = (LINE.format(place="/") + LINE.format(place=place)).encode()
        monkeypatch.setattr(files.Path, "read_bytes", lambda self: text if str(self) == "/proc/self/mountinfo" else real(self))

    return do


async def test_a_journal_that_is_mounted_by_itself_sends_nothing(sandbox, arm, tmp_path, mount):
    journal = tmp_path / "nightly.sqlite"
    await send(arm, invoices(5), journal=journal, run_id="one")
    taken = sandbox.documents.total_taken
    mount(journal)
    await send(arm, invoices(5, start=50), journal=journal, run_id="two", raises=(JournalError, ConfigurationError, BulkError))
    assert sandbox.documents.total_taken == taken


async def test_a_dead_letter_that_is_mounted_by_itself_shows_before_anything_is_sent(sandbox, arm, tmp_path, mount):
    letter = tmp_path / "failed.jsonl"
    letter.touch()
    mount(letter)
    settings = {"journal": tmp_path / "nightly.sqlite", "run_id": "one", "dead_letter": letter}
    await send(arm, invoices(5), raises=(JournalError, ConfigurationError, BulkError), **settings)
    assert sandbox.documents.total_taken == 0


def test_the_path_is_found_as_the_kernel_writes_it(tmp_path, mount):
    path = tmp_path / "a file\\of it"
    path.touch()
    assert not is_mounted(path)
    mount(path)
    assert is_mounted(path)
    assert not is_mounted(tmp_path / "a")
    with pytest.raises(OSError, match="mount its folder instead"):
        AtomicFile(path)
    with pytest.raises(ConfigurationError, match=r"--state: .*mount its folder instead"):
        check_writable([JobFile("--state", path, "state")])


def test_where_the_kernel_tells_nothing_no_file_is(tmp_path, monkeypatch):
    def fails(self):
        raise FileNotFoundError(str(self))

    monkeypatch.setattr(files.Path, "read_bytes", fails)
    assert not is_mounted(tmp_path)
