"""A journal that can't be used: a clear error, nothing is sent, the file stays as it is; and a disk that is full at any moment."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .accounts import check_once
from .crash import Trial

pytestmark = pytest.mark.proof

MakeTrial = Callable[..., Trial]

NOBODY = 65_534


def refused(trial: Trial, **settings: object) -> str:
    """The attempt says that the journal can't be used, and sends nothing; gives what it says."""
    before = len(trial.tenant.truth().writes)
    found = trial.attempt(**settings)
    assert found is not None
    assert found["ended"] == "JournalError", trial.story(found.get("traceback", str(found)))
    assert len(trial.tenant.truth().writes) == before, trial.story("something was sent")
    return str(found["text"])


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder but locks, which hold nothing."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and not path.name.endswith("-lock")}


def half_done(trial: Trial) -> None:
    """A run that was killed when some of its batches were done, some open and some on the wire."""
    trial.kill_at({"point": "uuid_durable", "count": 4})


# --- files that are no journal --------------------------------------------------------------------------------------------


def text_file(path: Path) -> None:
    path.write_text("customerNo;name\n1;Kari\n" * 50)


def empty_file(path: Path) -> None:
    path.touch()


def directory(path: Path) -> None:
    path.mkdir()


def dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "no-such-folder" / path.name)


def other_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, run_id TEXT)")
    connection.close()


def header_only(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(84))


@pytest.mark.parametrize(
    "make", [text_file, empty_file, directory, dangling_link, other_database, header_only], ids=lambda make: make.__name__
)
def test_what_is_no_journal_is_refused_and_left_untouched(make_trial: MakeTrial, make: Callable[[Path], None]) -> None:
    trial = make_trial("documents", 20)
    make(trial.journal)
    before = content(trial.journal.parent)
    said = refused(trial)
    assert str(trial.journal.name) in said
    assert content(trial.journal.parent) == before


def test_a_folder_that_is_not_there(make_trial: MakeTrial, tmp_path: Path) -> None:
    assert "nowhere" in refused(make_trial("documents", 20, journal=tmp_path / "nowhere" / "journal.sqlite"))


def test_a_newer_version_is_refused_and_left_untouched(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 20)
    trial.finish()
    connection = sqlite3.connect(trial.journal, isolation_level=None)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version + 1}")
    connection.close()
    before = content(trial.journal.parent)
    assert "newer" in refused(trial)
    assert before.items() <= content(trial.journal.parent).items()


# --- damage ---------------------------------------------------------------------------------------------------------------


def ends_somehow(trial: Trial) -> str:
    """An attempt over a journal that is damaged: refused, or it goes on rightly. Never a document twice, never another error."""
    before = content(trial.journal.parent)
    found = trial.attempt()
    assert found is not None
    check_once(trial.source.records(), trial.tenant.truth())
    if found["ended"] in {"report", "BulkError"}:
        trial.balance(found)
        assert found["ended"] == "report" or found["cause"] == "JournalError", trial.story(found["text"])
    else:
        assert found["ended"] == "JournalError", trial.story(found["traceback"])
        assert not trial.writes_of(trial.tenant.truth()), trial.story("something was sent")
        after = content(trial.journal.parent)
        changed = {name for name in before if before[name] != after.get(name) and not name.endswith("-shm")}
        assert not changed, trial.story(f"refused, and not left untouched: {changed}")
    return str(found["ended"])


@pytest.mark.parametrize("share", [0.8, 0.5, 0.2, 0.01])
def test_a_file_that_was_cut_off(make_trial: MakeTrial, share: float) -> None:
    trial = make_trial("documents", 40)
    half_done(trial)
    trial.finish()
    os.truncate(trial.journal, int(trial.journal.stat().st_size * share))
    before = content(trial.journal.parent)
    refused(trial)
    assert before.items() <= content(trial.journal.parent).items()


@pytest.mark.parametrize("share", [0.999, 0.8, 0.5, 0.2, 0.01])
def test_a_file_that_was_cut_off_beside_its_log(make_trial: MakeTrial, share: float) -> None:
    trial = make_trial("documents", 40)
    half_done(trial)
    os.truncate(trial.journal, int(trial.journal.stat().st_size * share))
    ends_somehow(trial)


@pytest.mark.parametrize("ended", [False, True], ids=["killed", "ended"])
def test_garbage_in_the_middle(make_trial: MakeTrial, tmp_path: Path, ended: bool) -> None:
    """Page after page is overwritten. (A few bits that flip within a value are below what SQLite can notice.)"""
    rng = random.Random(5)
    outcomes: list[str] = []
    parts = 10
    for part in range(parts):
        (tmp_path / f"{part}").mkdir()
        trial = make_trial("documents", 40, journal=tmp_path / f"{part}" / "journal.sqlite")
        half_done(trial)
        if ended:
            trial.finish()
        page = int.from_bytes(trial.journal.read_bytes()[16:18], "big")
        pages = trial.journal.stat().st_size // page
        with trial.journal.open("r+b") as file:
            file.seek(pages * part // parts * page)
            file.write(rng.randbytes(page))
        outcomes.append(ends_somehow(trial))
    # A page that nothing is on does no harm; where the log beside the file holds the newer page, the damage is fixed.
    assert "JournalError" in outcomes


# --- rights ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can get into; the tests may run as root, whom no mode keeps out."""
    folder = Path(tempfile.mkdtemp(prefix="proof-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def run_as_other(trial: Trial, folder: Path) -> None:
    """The journal and its folder belong to the user that the child becomes."""
    if os.geteuid() == 0:
        for path in [folder, *folder.iterdir()]:
            os.chown(path, NOBODY, NOBODY)


def test_a_folder_that_can_not_be_written_to(make_trial: MakeTrial, open_folder: Path) -> None:
    trial = make_trial("documents", 20, journal=open_folder / "journal.sqlite")
    run_as_other(trial, open_folder)
    open_folder.chmod(0o555)
    refused(trial, user_number=NOBODY)
    assert content(open_folder) == {}


@pytest.mark.parametrize("folder_too", [False, True])
def test_a_journal_that_can_only_be_read(make_trial: MakeTrial, open_folder: Path, folder_too: bool) -> None:
    trial = make_trial("documents", 40, journal=open_folder / "journal.sqlite")
    half_done(trial)
    for path in open_folder.iterdir():
        path.chmod(0o444)
    run_as_other(trial, open_folder)
    if folder_too:
        open_folder.chmod(0o555)
    before = content(open_folder)
    refused(trial, user_number=NOBODY)
    after = content(open_folder)
    # The index beside the log holds nothing that the log does not hold.
    assert {name: after.get(name) for name in before if not name.endswith("-shm")} == {
        name: data for name, data in before.items() if not name.endswith("-shm")
    }


def test_files_are_for_this_user_alone(make_trial: MakeTrial) -> None:
    trial = make_trial("documents", 40, options={"dead_letter": None})
    half_done(trial)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in trial.journal.parent.iterdir()}
    assert set(modes.values()) == {"0o600"}, modes
    assert f"{trial.journal.name}-wal" in modes


# --- a full disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 5_000, 60_000, 200_000])
def test_no_room_for_a_new_journal(make_trial: MakeTrial, size: int) -> None:
    trial = make_trial("documents", 20)
    refused(trial, file_size=size)
    assert not trial.journal.exists() or trial.journal.stat().st_size in {0, size}
    trial.finish()


@pytest.mark.parametrize("kind", ["documents", "customers"])
def test_the_disk_is_full_at_any_moment(make_trial: MakeTrial, kind: str) -> None:
    """The limit is moved up until a run gets through; after each that does not, the accounts balance."""
    trial = make_trial(kind, 60, options={"max_records": 4, "concurrency": 2})
    trial.kill_at({"point": "entered", "count": 1})
    size = max(path.stat().st_size for path in trial.journal.parent.iterdir())
    outcomes: list[str] = []
    for step in range(40):
        found = trial.attempt(file_size=size + step * 40_000)
        assert found is not None
        outcomes.append(found["ended"])
        if found["ended"] == "JournalError":
            assert not trial.writes_of(trial.tenant.truth()), trial.story("something was sent")
            continue
        trial.balance(found)
        if found["ended"] == "report":
            break
        assert found["cause"] == "JournalError", trial.story(found["text"])
    assert "BulkError" in outcomes, outcomes
    assert outcomes[-1] == "report", outcomes
    account = trial.finish()
    assert account.states.count("success") + account.states.count("unknown") == len(account.states)
