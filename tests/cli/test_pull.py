"""`amili-arm pull customers`: JSON lines as the API wrote them, whole files or none, and readers who leave."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess

import pytest

from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_until


def seed(served, count, **more):
    customers = (
        {"customerNo": str(number), "name": "Kari", "customerCategory": "CONS" if number % 2 else "BUS", **more}
        for number in range(1, count + 1)
    )
    served.ask(lambda sandbox: sandbox.customers.seed(customers))


def numbers(text):
    return [int(json.loads(line)["customerNo"]) for line in text.splitlines()]


@pytest.fixture
def pull(served, call):
    return lambda *arguments: call("pull", "customers", *arguments, env=served.env)


@pytest.mark.parametrize("prefetch", [0, 1, 8])
def test_every_record_in_order(pull, served, prefetch):
    seed(served, 57)
    result = pull("--page-size", 10, "--prefetch", prefetch)
    assert (result.exit_code, result.stderr) == (0, "")
    assert numbers(result.stdout) == list(range(1, 58))


def test_none_is_no_failure(pull, served):
    result = pull()
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_record_is_as_the_api_wrote_it(pull, served):
    page = (
        b'{"summary":{"pageNo":1,"totalPages":1},"customers":[{"z": 1.10,\r\n "customerNo":"\\u00c51\xc3\x98", "newField" : [1e2, null],'
        b'\n"dueDays":"odd"},17]}'
    )
    served.ask(lambda sandbox: sandbox.inject(Fault.status(200, body=page), path="customers"))
    result = pull()
    assert result.exit_code == 0
    assert result.stdout_bytes.splitlines() == [
        b'{"z": 1.10,   "customerNo":"\\u00c51\xc3\x98", "newField" : [1e2, null], "dueDays":"odd"}',
        b"17",
    ]


def test_criteria(pull, served):
    seed(served, 20)
    assert numbers(pull("--category", "BUS").stdout) == list(range(2, 21, 2))
    assert numbers(pull("--customer-no", "7").stdout) == [7]
    assert numbers(pull("--account-no", "500003").stdout) == [3]
    assert numbers(pull("--name", "kari", "--maximum-count", 5).stdout) == [1, 2, 3, 4, 5]
    assert numbers(pull("--page-no", 2, "--page-size", 15).stdout) == [16, 17, 18, 19, 20]


def test_all_criteria_are_sent(call, served):
    given = {
        "--customer-no": "1", "--account-no": "2", "--organization-no": "3", "--name": "4", "--category": "5", "--expand": "6",
        "--options": "7", "--maximum-count": "8", "--page-no": "9", "--page-size": "10",
    }  # fmt: skip
    arguments = [word for pair in given.items() for word in pair]
    assert call("pull", "customers", *arguments, "--user-id", "me", "--language", "no", env=served.env).exit_code == 0
    query = served.ask(lambda sandbox: sandbox.recent[-1].query)
    assert query == {
        "customerno": "1", "accountno": "2", "organizationno": "3", "name": "4", "customercategory": "5", "expand": "6",
        "options": "7", "maximumcount": "8", "pageno": "9", "pagesize": "10", "userid": "me",
    }  # fmt: skip


# --- a list that was cut off ----------------------------------------------------------------------------------------------


def test_a_list_that_hits_the_cap_is_a_failure_and_what_was_read_is_there(serve, call, tmp_path):
    served = serve(list_cap=30)
    seed(served, 40)
    result = call("pull", "customers", "--page-size", 10, env=served.env)
    assert result.exit_code == 1
    assert numbers(result.stdout) == list(range(1, 31))
    assert "at most 30" in result.stderr
    assert "--allow-truncated" in result.stderr
    path = tmp_path / "customers.jsonl"
    path.write_text("old")
    result = call("pull", "customers", "--output", path, env=served.env)
    assert result.exit_code == 1
    assert f"{path} was not written" in result.stderr
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("customers.jsonl", "old")]
    for enough in (["--allow-truncated"], ["--maximum-count", 30]):
        assert call("pull", "customers", "--output", path, *enough, env=served.env).exit_code == 0
        assert numbers(path.read_text()) == list(range(1, 31))


def test_what_was_read_before_an_error_is_there(pull, served):
    seed(served, 25)
    served.ask(lambda sandbox: sandbox.inject(Fault.status(400), path="customers", skip=1, times=None))
    result = pull("--page-size", 10)
    assert result.exit_code == 1
    assert "400" in result.stderr
    assert numbers(result.stdout) == list(range(1, 11))


# --- a file ---------------------------------------------------------------------------------------------------------------


def test_a_file_is_readable_for_its_owner_only(pull, served, tmp_path):
    seed(served, 3)
    path = tmp_path / "customers.jsonl"
    result = pull("-o", path)
    assert (result.exit_code, result.output) == (0, "")
    assert numbers(path.read_text()) == [1, 2, 3]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    link = tmp_path / "link"
    link.symlink_to(path)
    seed(served, 4)
    assert pull("-o", link).exit_code == 0
    assert link.is_symlink()
    assert numbers(path.read_text()) == [1, 2, 3, 4]


def test_no_half_file(start, served, tmp_path):
    seed(served, 100)
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_before(), path="customers", skip=3, times=None))
    path = tmp_path / "customers.jsonl"
    process = start("pull", "customers", "--page-size", 10, "--prefetch", 0, "-o", path, env=served.env)
    wait_until(served, lambda sandbox: sandbox.in_flight == 1)
    (draft,) = tmp_path.iterdir()
    assert draft != path
    assert stat.S_IMODE(draft.stat().st_mode) == 0o600
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=WAIT)
    assert (process.returncode, out) == (143, b"")
    assert b"interrupted" in err
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "no/such/directory/file"], "no/such/directory/file can't be written"),
        (["--output", "/dev/null"], "no regular file"),
        (["--output", "."], "can't be written"),
        (["--page-size", "4"], "--page-size"),
        (["--page-no", "0"], "--page-no"),
        (["--maximum-count", "10001"], "--maximum-count"),
        (["--prefetch", "-1"], "prefetch"),
        (["--base-url", "http://api.example.com"], "plain http"),
    ],
)
def test_wrong_use(pull, served, arguments, words):
    result = pull(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert served.ask(lambda sandbox: sum(sandbox.requests.values())) == 0


def test_only_customers_can_be_pulled(call, served):
    assert call("pull", "documents", env=served.env).exit_code == 2


def test_a_full_disk(start, served):
    seed(served, 10)
    with open("/dev/full", "wb") as full:
        process = start("pull", "customers", env=served.env, stdout=full)
        _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 1
    assert b"standard output can't be written: No space left" in err
    assert b"Traceback" not in err


# --- a pipe ---------------------------------------------------------------------------------------------------------------


def test_a_reader_who_leaves_ends_it_quietly(start, served):
    seed(served, 2000, customerMessage="x" * 200)
    process = start("pull", "customers", env=served.env)
    assert json.loads(process.stdout.readline())["customerNo"] == "1"
    process.stdout.close()
    assert process.wait(WAIT) == 141
    assert process.stderr.read() == b""


def test_all_goes_through_a_pipe_with_a_slow_reader(start, served):
    seed(served, 2000, customerMessage="æ" * 200)
    process = start("pull", "customers", env=served.env)
    wait_until(served, lambda sandbox: sandbox.requests["GET /clients/{clientno}/customers"] == 2)
    out, err = process.communicate(timeout=WAIT)
    assert (process.returncode, err) == (0, b"")
    assert numbers(out) == list(range(1, 2001))


def test_a_signal_while_nobody_reads(start, served):
    seed(served, 2000, customerMessage="x" * 200)
    process = start("pull", "customers", env=served.env)
    os.read(process.stdout.fileno(), 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT) == 130
    assert b"interrupted" in process.stderr.read()


def test_into_a_file_by_the_shell(start, served, tmp_path):
    seed(served, 2000)
    with open(tmp_path / "file", "wb") as file:
        process = start("pull", "customers", env=served.env, stdout=file)
        assert process.wait(WAIT) == 0
    assert numbers((tmp_path / "file").read_bytes()) == list(range(1, 2001))


@pytest.mark.parametrize("shows_records", [True, False])
def test_progress_on_a_terminal_that_does_not_show_the_records(start, served, monkeypatch, shows_records):
    import pty

    from .test_process import read_terminal

    seed(served, 1200)
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    process = start("pull", "customers", env=served.env, stderr=theirs, stdout=theirs if shows_records else subprocess.DEVNULL)
    os.close(theirs)
    shown = read_terminal(ours)
    os.close(ours)
    assert process.wait(WAIT) == 0
    assert (b"1,200 records" in shown) is not shows_records
    assert (b'"customerNo":"1200"' in shown) is shows_records


@pytest.mark.parametrize("prefetch", [0, 4])
def test_a_list_that_gave_less_than_it_announced_is_a_failure(pull, served, tmp_path, prefetch):
    page = b'{"summary":{"pageNo":1,"totalPages":6,"totalCount":28},"customers":[{"customerNo":"1"},{"customerNo":"2"}]}'
    served.ask(lambda sandbox: sandbox.inject(Fault.status(200, body=page), path="customers", times=None))
    result = pull("--prefetch", prefetch)
    assert result.exit_code == 1
    assert numbers(result.stdout) == [1, 2]
    assert "gave 2 of the 28 records that it announced" in result.stderr
    assert "--allow-truncated" in result.stderr
    path = tmp_path / "customers.jsonl"
    result = pull("--prefetch", prefetch, "-o", path)
    assert result.exit_code == 1
    assert f"{path} was not written" in result.stderr
    assert not list(tmp_path.iterdir())
    assert pull("--prefetch", prefetch, "--allow-truncated").exit_code == 0
