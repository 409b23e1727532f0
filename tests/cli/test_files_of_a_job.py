"""Files that a command reads and writes are distinct and can be written, which is known before the first byte leaves."""

import os

import pytest

from amili_arm_async import ArmClient, BulkOptions, ConfigurationError

from .test_nightly import customers, invoices

OTHER = 4711


@pytest.fixture
def files(tmp_path):
    (tmp_path / "customers").write_text(customers(1, 2))
    (tmp_path / "documents").write_text(invoices(1, 2))
    return tmp_path


def is_refused(result, served, *words):
    said = " ".join(result.stderr.split())
    assert result.exit_code == 2, said
    for word in words:
        assert word in said
    assert served.ask(lambda sandbox: (sandbox.documents.total_taken, len(sandbox.customers))) == (0, 0)


NIGHT = {
    "--state": "state",
    "--journal": "journal",
    "--dead-letter-customers": "letter",
    "--dead-letter-documents": "letter",
    "--report": "report.json",
    "--html": "report.html",
    "--failures": "failures.csv",
}


def night(call, served, folder, **changed):
    options = {**NIGHT, **{f"--{name.replace('_', '-')}": path for name, path in changed.items()}}
    given = [part for option, path in options.items() for part in (option, folder / path)]
    sources = ["--customers", folder / "customers", "--documents", folder / "documents", "--run-id", "monday"]
    return call("nightly", *sources, *given, env=served.env)


@pytest.mark.parametrize(
    ("option", "path", "other"),
    [
        ("html", "report.json", "--report"),
        ("failures", "report.html", "--html"),
        ("report", "letter", "--dead-letter-customers"),
        ("failures", "journal-wal", "--journal"),
        ("html", "state-mark", "--state"),
        ("state", "journal", "--state"),
        ("dead_letter_documents", "journal", "--journal"),
        ("dead_letter_customers", "state-lock", "--state"),
        ("report", "customers", "--customers"),
        ("failures", "documents", "--documents"),
    ],
)
def test_two_options_of_a_night_that_name_one_file(call, served, files, option, path, other):
    is_refused(night(call, served, files, **{option: path}), served, f"--{option.replace('_', '-')}", other, "are one file")
    assert {found.name for found in files.iterdir()} == {"customers", "documents"}


@pytest.mark.parametrize("option", ["state", "journal", "dead_letter_documents", "report", "html", "failures"])
def test_a_folder_that_is_not_there(call, served, files, option):
    result = night(call, served, files, **{option: "none/file"})
    is_refused(result, served, f"--{option.replace('_', '-')}", "there is no folder")


def test_a_night_with_all_its_files(call, served, files):
    assert night(call, served, files).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--journal", "a", "--run-id", "1", "--dead-letter", "a"], ["--journal", "--dead-letter"]),
        (["--journal", "a", "--run-id", "1", "--dead-letter", "a-shm"], ["--journal", "--dead-letter"]),
        (["--journal", "documents", "--run-id", "1"], ["FILE", "--journal"]),
        (["--dead-letter", "documents", "--journal", "a", "--run-id", "1"], ["FILE", "--dead-letter"]),
        (["--dead-letter", "none/a", "--journal", "a", "--run-id", "1"], ["--dead-letter", "no folder"]),
    ],
)
def test_push(call, served, files, monkeypatch, arguments, words):
    monkeypatch.chdir(files)
    is_refused(call("push", "documents", "documents", *arguments, env=served.env), served, *words)


@pytest.mark.parametrize("option", ["--report", "--html", "--failures", "--dead-letter-documents"])
def test_the_settings_file_is_not_replaced(call, served, files, monkeypatch, option):
    monkeypatch.chdir(files)
    (files / "amili-arm.toml").write_text("[bulk]\nmax_records = 7\n")
    given = ["--documents", "documents", "--no-journal", option, "amili-arm.toml"]
    is_refused(call("nightly", *given, env=served.env), served, "the settings file", option, "are one file")
    assert (files / "amili-arm.toml").read_text() == "[bulk]\nmax_records = 7\n"


def test_sync(call, served, files, monkeypatch):
    monkeypatch.chdir(files)
    is_refused(call("sync", "customers", "--state", "customers", env=served.env), served, "FILE", "--state")


def test_report(call, files, monkeypatch):
    monkeypatch.chdir(files)
    result = call("report", "r.json", "--html", "out", "--csv", "out")
    assert result.exit_code == 2
    assert "--html (out) and --csv (out) are one file" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("option", ["--report", "--html", "--failures", "--dead-letter-documents", "--journal", "--state"])
def test_a_link_that_another_user_planted_is_not_followed(call, served, files, option):
    shared = files / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "out").symlink_to(files / "target")
    os.lchown(shared / "out", OTHER, -1)
    result = night(call, served, files, **{option.removeprefix("--").replace("-", "_"): "shared/out"})
    is_refused(result, served, option, "is not followed")
    assert not (files / "target").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_pull_does_not_follow_it_either(call, served, files):
    (files / "shared").mkdir()
    (files / "shared").chmod(0o1777)
    (files / "shared" / "out").symlink_to(files / "target")
    os.lchown(files / "shared" / "out", OTHER, -1)
    result = call("pull", "customers", "--output", files / "shared" / "out", env=served.env)
    assert result.exit_code == 2
    assert "is not followed" in result.stderr
    assert not (files / "target").exists()


# --- the same on the Python face --------------------------------------------------------------------------------------------


@pytest.fixture
def arm():
    return ArmClient(2218, auth="token", base_url="http://127.0.0.1:1")


def test_the_files_of_one_call(arm, tmp_path):
    options = BulkOptions(journal=tmp_path / "a", run_id="1", dead_letter=tmp_path / "a-lock")
    for create in (arm.documents.create_many, arm.customers.create_many, arm.customers.update_many):
        with pytest.raises(ConfigurationError, match=r"journal \(.*\) and dead_letter"):
            create([], options=options)
    with pytest.raises(ConfigurationError, match=r"state \(.*\) and dead_letter"):
        arm.customers.sync([], state=tmp_path / "a", options=BulkOptions(dead_letter=tmp_path / "a"))


def test_the_files_of_a_night(arm, tmp_path):
    documents = BulkOptions(journal=tmp_path / "a", run_id="1", dead_letter=tmp_path / "b")
    for state, letter, words in ((tmp_path / "a-wal", None, "state"), (None, tmp_path / "a", "customer_options.dead_letter")):
        with pytest.raises(ConfigurationError, match=words):
            arm.nightly(
                customers=[], documents=[], state=state, customer_options=BulkOptions(dead_letter=letter), document_options=documents
            )
    with pytest.raises(ConfigurationError, match=r"document_options\.journal.*no folder"):
        arm.nightly(documents=[], document_options=BulkOptions(journal=tmp_path / "none" / "a", run_id="1"))
    assert not list(tmp_path.iterdir())
