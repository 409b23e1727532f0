"""The settings: what wins over what, every fault of a file named with its place, and nothing of a secret anywhere."""

from __future__ import annotations

import itertools
import json
import os
import stat
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from amili_arm_async import DEFAULT, BatchWords, BulkOptions, ConfigurationError, Limits, RetryPolicy, Timeout
from amili_arm_async.cli import options, reconcile
from amili_arm_async.cli.app import app
from amili_arm_async.cli.command import defaults
from amili_arm_async.cli.config_file import ConfigFile, places, read_config
from amili_arm_async.cli.settings import Found, resolve
from amili_arm_async.cli.settings_schema import KNOWN
from amili_arm_async.secret_files import SecretFile

from .conftest import COMMAND, WAIT

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners of POSIX")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """The working directory of each test has no settings file."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def write(tmp_path):
    """Writes a settings file that only its owner can read."""

    def one(text, name="settings.toml", mode=0o600):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    return one


def toml(values):
    """The text of a file with these settings; JSON writes texts, numbers and lists as TOML does."""
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())


def shown(result):
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)["settings"]


# --- what wins ------------------------------------------------------------------------------------------------------------------

LAYERS = [layers for length in range(4) for layers in itertools.combinations(("flag", "environment", "file"), length)]
CONNECTION = {
    "base_url": ("https://flag.example", "https://environment.example", "https://file.example"),
    "client_no": (1, 2, 3),
    "identity_url": ("https://a.flag.example", "https://a.environment.example", "https://a.file.example"),
    "client_id": ("flag", "environment", "file"),
    "user_id": ("flag", "environment", "file"),
}


@pytest.mark.parametrize("layers", LAYERS)
def test_flags_win_over_the_environment_and_that_over_the_file(call, write, layers):
    at = {"flag": 0, "environment": 1, "file": 2}
    path = write("[connection]\n" + toml({name: values[2] for name, values in CONNECTION.items()} if "file" in layers else {}))
    env = {f"AMILI_ARM_{name.upper()}": str(values[1]) for name, values in CONNECTION.items()} if "environment" in layers else {}
    flags = [word for name, values in CONNECTION.items() if "flag" in layers for word in (f"--{name.replace('_', '-')}", str(values[0]))]
    found = shown(call("config", "show", "--json", "--config", path, *flags, env=env))
    for name, values in CONNECTION.items():
        origin = layers[0] if layers else "default"
        place = {
            "flag": f"--{name.replace('_', '-')}",
            "environment": f"AMILI_ARM_{name.upper()}",
            "file": str(path),
            "default": None,
        }[origin]
        value = values[at[origin]] if layers else None
        assert found[f"connection.{name}"] == {"value": value, "origin": origin, "place": place}


BULK = {
    "max_records": (11, 12, 13),
    "max_bytes": (1001, 1002, 1003),
    "concurrency": (3, 4, 5),
    "results": ("accepted", "wait", "accepted"),
    "deadline": (10.5, 11.5, 12.5),
    "patience": (1.0, 2.0, 3.0),
    "bisect": ("off", "all", "off"),
    "compression": ("gzip", "gzip", "gzip"),
    "stop_after_failures": (5, 0.5, 0.00001),
}


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("command", ["push", "replay"])
def test_the_options_of_a_bulk_run_come_from_all_layers(call, write, served, monkeypatch, layers, command):
    made = []

    def keep(**given):
        made.append(given)
        raise ConfigurationError("enough")

    monkeypatch.setattr(options, "BulkOptions", keep)
    taken = BULK if command == "push" else {name: BULK[name] for name in ("max_records", "concurrency", "bisect", "deadline")}
    path = write("[bulk]\n" + toml({name: values[2] for name, values in BULK.items()} if "file" in layers else {}))
    env = {f"AMILI_ARM_BULK_{name.upper()}": str(values[1]) for name, values in BULK.items()} if "environment" in layers else {}
    flags = [word for name, values in taken.items() if "flag" in layers for word in (f"--{name.replace('_', '-')}", str(values[0]))]
    kind = ["customers"] if command == "push" else []
    result = call(command, *kind, write("", "records"), "--config", path, *flags, env={**served.env, **env})
    assert "enough" in result.stderr
    standard = BulkOptions()
    for name, values in taken.items():
        wanted = values[["flag", "environment", "file"].index(layers[0])] if layers else getattr(standard, name)
        assert made[0][name] == wanted


@pytest.mark.parametrize(("words", "expected"), [([], True), (["--no-require-document-no"], False)])
def test_a_yes_in_the_file_can_be_a_no_on_the_command_line(call, write, served, words, expected):
    path = write("[bulk]\nrequire_document_no = true\nresults = 'accepted'\n")
    source = write('{"documentType":"IN","customerNo":"1"}\n', "records")
    result = call("push", "documents", source, "--no-journal", "--config", path, *words, "--json", env=served.env)
    assert json.loads(result.stdout)["counts"]["invalid"] == int(expected)


def test_bulk_says_nothing_of_look_ups(call, write, served, monkeypatch):
    made = []

    def keep(*given):
        made.append(given)
        raise ConfigurationError("enough")

    monkeypatch.setattr(reconcile, "ReconcileJob", keep)
    call("reconcile", write("", "journal"), "--config", write("[bulk]\nconcurrency = 9\npatience = 7.0\n"), env=served.env)
    assert made[0][5] == 4
    assert made[0][6].patience == 7.0


def test_every_setting_of_a_file_arrives_in_the_client(write):
    path = write(
        "[connection]\nbase_url = 'https://api.example/arm/'\nclient_no = 7\ntoken = 't'\nuser_id = 'me'\nlanguage = 'nb'\n"
        "[connection.timeout]\nconnect = 1\nread = 2.5\ntotal = 3\n[connection.retry]\nattempts = 2\nbase_delay = 0\nmax_delay = 4\n"
        "[connection.limits]\nconnections = 5\nbytes_in_flight = 6\nopen_batches = 7\n"
        "[connection.batch_words]\nsucceeded = ['FERTIG']\nfailed = []\n"
        "[connection.paths]\n'codes.get' = 'clients/{clientno}/systemcodes'\n"
    )
    arm = resolve({}, read_config(str(path), {}), {}).client()
    assert repr(arm) == "ArmClient(7, base_url='https://api.example/arm')"
    caller = arm._context
    assert (caller.user_id, caller.language) == ("me", "nb")
    assert (caller.rules.words.succeeded, caller.rules.words.failed) == ({"fertig"}, set())
    assert "pending" in caller.rules.words.pending
    assert "systemcodes" in repr(caller.endpoints["codes.get"])
    assert caller.transport.timeout == Timeout(connect=1, read=2.5, total=3)
    assert caller.transport.retry == RetryPolicy(attempts=2, base_delay=0, max_delay=4)
    assert caller.transport.limits == Limits(connections=5, bytes_in_flight=6, open_batches=7)


def test_a_table_that_is_named_like_a_command_is_for_its_options(tmp_path):
    found = resolve({}, ConfigFile("f", {"nightly.journal": "$WHERE/n.sqlite", "bulk.max_records": 5}), {"WHERE": "/var"})
    assert defaults(found, "nightly") == {"journal": "/var/n.sqlite", "max_records": 5}
    assert defaults(found, "push") == {"max_records": 5}


# --- tokens and secrets ---------------------------------------------------------------------------------------------------------

TOKEN, SECRET, CLIENT_ID = "connection.token", "connection.client_secret", "connection.client_id"


def holding(*, flags=(), env=(), file=()):
    """The keys of tokens and secrets that hold, where each layer gives these."""
    variables = {KNOWN[key].variable: "environment" for key in env}
    found = resolve({key: Found("flag", "flag", "--x") for key in flags}, ConfigFile("f", dict.fromkeys(file, "file")), variables)
    return {key: value.origin for key, value in found.found.items()}


def test_who_names_an_identity_does_not_get_a_token_from_further_down():
    assert holding(env=[TOKEN], file=[TOKEN]) == {TOKEN: "environment"}
    assert holding(flags=[CLIENT_ID], env=[TOKEN, SECRET]) == {CLIENT_ID: "flag", SECRET: "environment"}
    assert holding(flags=["connection.identity_url"], env=[TOKEN]) == {"connection.identity_url": "flag"}
    assert holding(env=[SECRET], file=[TOKEN, CLIENT_ID]) == {SECRET: "environment", CLIENT_ID: "file"}
    assert holding(env=[SECRET], file=["connection.token_file"]) == {SECRET: "environment"}
    # In one layer, and further up, the token is what is used.
    assert holding(env=[TOKEN, SECRET])[TOKEN] == "environment"
    assert holding(env=[TOKEN], file=[SECRET, CLIENT_ID])[TOKEN] == "environment"


def test_a_secret_and_the_path_of_one_are_the_same_setting():
    path = f"{SECRET}_file"
    assert holding(env=[path], file=[SECRET]) == {path: "environment"}
    assert holding(env=[SECRET], file=[path]) == {SECRET: "environment"}
    with pytest.raises(ConfigurationError, match=r"f: connection\.client_secret_file: client_secret is given too"):
        holding(file=[SECRET, path])
    with pytest.raises(ConfigurationError, match="AMILI_ARM_TOKEN_FILE: token is given too"):
        holding(env=[TOKEN, f"{TOKEN}_file"])


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o644])
@pytest.mark.parametrize("line", ["client_secret = 's3cret'", "token = 's3cret'"])
def test_a_secret_in_a_file_that_others_can_open_is_refused(call, write, mode, line):
    path = write(f"[connection]\n{line}\n", mode=mode)
    result = call("config", "show", "--config", path)
    assert result.exit_code == 2
    assert f"chmod 600 {path}" in result.stderr
    assert "s3cret" not in result.output
    path.chmod(0o400)
    assert call("config", "show", "--config", path).exit_code == 0


@posix
def test_without_a_secret_others_may_read_it(call, write):
    assert call("config", "show", "--config", write("[connection]\nclient_secret_file = '/run/s'\n", mode=0o644)).exit_code == 0


@pytest.mark.parametrize("text", [b"s3cret", b"s3cret\n", b"\xef\xbb\xbfs3cret\r\n", b"  s3cret  \n"])
def test_a_secret_in_a_file_of_its_own(write, text):
    folder = write(text, "credentials/secret").parent
    path = write("[connection]\ntoken_file = '$CREDENTIALS_DIRECTORY/secret'\n")
    found = resolve({}, read_config(str(path), {}), {"CREDENTIALS_DIRECTORY": str(folder)})
    assert found.connection()["token_file"].read() == "s3cret"


@pytest.mark.parametrize("text", [b"", b"\n", b"s3cret\nmore\n", b"s3cret\x00", b"\xffs3cret", b"s3cret" * 20_000])
def test_a_file_that_holds_no_secret(write, text):
    with pytest.raises(ConfigurationError, match=r"^token_file: ") as caught:
        SecretFile(write(text, "secret"), "token_file").read()
    assert "s3cret" not in str(caught.value)


def test_a_secret_file_that_is_not_there(call, write, served):
    env = {**served.env, "AMILI_ARM_CLIENT_SECRET": "", "AMILI_ARM_CLIENT_SECRET_FILE": "$CREDENTIALS_DIRECTORY/secret"}
    source = write("", "records")
    result = call("push", "customers", source, env=env)
    assert result.exit_code == 2
    assert "AMILI_ARM_CLIENT_SECRET_FILE names $CREDENTIALS_DIRECTORY, and there is no such variable" in result.stderr
    result = call("push", "customers", source, env={**env, "CREDENTIALS_DIRECTORY": "/nowhere"})
    assert result.exit_code == 2
    assert "AMILI_ARM_CLIENT_SECRET_FILE: /nowhere/secret can't be read: No such file or directory" in result.stderr


# --- faults of a file -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[bulk]\nmax_record = 1", "there is no key 'max_record' in [bulk]; did you mean 'max_records'?"),
        ("[conection]\nclient_no = 1", "there is no table 'conection'; did you mean 'connection'?"),
        ("[connection.timeouts]\nread = 1", "there is no table 'timeouts' in [connection]; did you mean 'timeout'?"),
        ("[connection.timeout]\nreed = 1", "there is no key 'reed' in [connection.timeout]; did you mean 'read'?"),
        ("[bulk]\nclient_no = 1", "there is no key 'client_no' in [bulk]; 'client_no' belongs in [connection]"),
        ("[bulk]\ntimeout = 1", "there is no key 'timeout' in [bulk]; 'timeout' belongs in [connection]"),
        ("base_url = 'x'", "there is no key 'base_url'; 'base_url' belongs in [connection]"),
        ("zzz = 1", "there is no key 'zzz'; expected one of: bulk, columns, connection, constants, nightly"),
        ('"a\\u001b[2J" = 1', "there is no key 'a?[2J'"),
        ("bulk = 3", "bulk must be a table: [bulk]"),
        ("[[bulk]]\nmax_records = 1", "bulk must be a table: [bulk]"),
        ("[connection]\ntimeout = 10", "connection.timeout must be a table: [connection.timeout]"),
        ("[connection]\nclient_no = '2218'", "connection.client_no must be an integer, not a text"),
        ("[connection]\nclient_no = true", "connection.client_no must be an integer, not true or false"),
        ("[connection]\nclient_no = 1.0", "connection.client_no must be an integer, not a number"),
        ("[connection]\nclient_no = 0", "connection.client_no must be at least 1, not 0"),
        ("[connection]\nclient_secret = 12345", "connection.client_secret must be a text, not an integer"),
        ("[connection]\nuser_id = ''", "connection.user_id is blank"),
        ("[connection]\nuser_id = 2026-11-21", "connection.user_id must be a text, not a date or time"),
        ("[connection]\nbase_url = 'http://api.example'", "connection.base_url is plain http"),
        ("[connection]\nbase_url = 'https://me:pass@api.example'", "connection.base_url may hold a scheme"),
        ("[connection.timeout]\nread = 0", "connection.timeout.read must be greater than 0, not 0"),
        ("[connection.timeout]\nread = inf", "connection.timeout.read must be a finite number"),
        ("[connection.retry]\nattempts = '5'", "connection.retry.attempts must be an integer, not a text"),
        ("[connection.batch_words]\npending = 'x'", "connection.batch_words.pending must be a list, not a text"),
        ("[connection.batch_words]\npending = [1]", "connection.batch_words.pending[0] must be a text, not an integer"),
        (
            "[connection.batch_words]\npending = ['ready']\ndone = ['READY']",
            "connection.batch_words: BatchWords: 'ready' is both pending and done",
        ),
        ("[connection.paths]\n'codes.gt' = 'x'", "connection.paths: there is no operation 'codes.gt'; did you mean 'codes.get'?"),
        ("[connection.paths]\n'codes.get' = 1", "connection.paths[...] must be a text, not an integer"),
        ("[bulk]\nmax_records = 1.5", "bulk.max_records must be an integer, not a number"),
        ("[bulk]\nresults = 'later'", "bulk.results must be one of 'wait', 'accepted'"),
        ("[bulk]\nstop_after_failures = 'many'", "bulk.stop_after_failures is a number such as 100, or a share"),
        ("[bulk]\nstop_after_failures = 1.5", "bulk.stop_after_failures as a share must be between 0 and 1"),
        ("[bulk]\nrequire_document_no = 'yes'", "bulk.require_document_no must be true or false, not a text"),
        ("[nightly]\njournal = 1", "nightly.journal must be a text, not an integer"),
        ("[bulk", "is not TOML: Expected ']' at the end of a table declaration (at line 1, column 6, the end)"),
        ("[bulk]\nmax_records = = 1", "is not TOML: Invalid value (at line 2, column 15)"),
        ("[bulk]\nmax_records = 1\nmax_records = 2", "is not TOML: Cannot overwrite a value (at line 3, column 16"),
        ("client_no: 2218", "is not TOML: Expected '=' after a key in a key/value pair (at line 1, column 10)"),
        (b"[bulk]\nx = '\xff'", "is not UTF-8 (at line 2, column 6)"),
        ("[bulk]".encode("utf-16"), "is not UTF-8 (at line 1, column 1)"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("#" * 1_000_001, "too large"),
    ],
)
def test_a_fault_is_named_with_file_and_place(call, write, text, words):
    path = write(text)
    result = call("config", "show", "--config", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"amili-arm: {path}")
    assert words in result.stderr
    assert "pass@" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("AMILI_ARM_CLIENT_NO", "abc", "AMILI_ARM_CLIENT_NO must be an integer"),
        ("AMILI_ARM_CLIENT_NO", "0", "AMILI_ARM_CLIENT_NO must be at least 1"),
        ("AMILI_ARM_TIMEOUT_READ", "soon", "AMILI_ARM_TIMEOUT_READ must be a number"),
        ("AMILI_ARM_BULK_REQUIRE_DOCUMENT_NO", "perhaps", "AMILI_ARM_BULK_REQUIRE_DOCUMENT_NO must be true or false"),
        ("AMILI_ARM_BASE_URL", "https://me:pass@api.example", "AMILI_ARM_BASE_URL may hold"),
        ("AMILI_ARM_TOKEN", "s3cret\ts3cret", "AMILI_ARM_TOKEN is blank, or holds a control character"),
    ],
)
def test_a_fault_of_the_environment_is_named(call, name, text, words):
    result = call("config", "show", env={name: text})
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert text not in result.stderr or text == "0"


@pytest.mark.parametrize("text", ["", "\ufeff[bulk]\nmax_records = 7\n", "[bulk]\r\nmax_records = 7\r\n", "# nothing\n[bulk]\n"])
def test_empty_files_and_files_of_windows(call, write, text):
    found = shown(call("config", "show", "--json", "--config", write(text)))
    assert found["bulk.max_records"]["value"] == (7 if "7" in text else 1000)


def test_texts_of_other_languages(call, write):
    path = write("[connection]\nuser_id = 'Åse Ødegård 😀'\n", "innstillinger-æøå.toml")
    found = shown(call("config", "show", "--json", "--config", path))
    assert found["connection.user_id"] == {"value": "Åse Ødegård 😀", "origin": "file", "place": str(path)}
    assert "Åse Ødegård" in call("config", "show", "--config", path).stdout


@posix
def test_a_file_that_can_not_be_read(call, tmp_path, write):
    for path, words in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory"), ("a\0b", "no such path")):
        result = call("push", "customers", "x", "--config", path)
        assert result.exit_code == 2
        assert words in result.stderr
    if os.geteuid():
        result = call("config", "path", "--config", write("", mode=0))
        assert (result.exit_code, "Permission denied" in result.stderr) == (2, True)


# --- where the file is ----------------------------------------------------------------------------------------------------------


def test_the_file_is_looked_for_in_order(call, write, monkeypatch, tmp_path):
    def used(*words, env=None):
        result = call("config", "path", *words, env=env)
        return (result.exit_code, result.stdout.strip())

    home = tmp_path / "home"
    env = {"XDG_CONFIG_HOME": str(home)}
    assert used(env=env) == (1, "")
    last = write("", "home/amili-arm/config.toml")
    assert used(env=env) == (0, str(last))
    write("", "here/amili-arm.toml")
    assert used(env=env) == (0, "amili-arm.toml")
    named = write("", "named.toml")
    env["AMILI_ARM_CONFIG"] = str(named)
    assert used(env=env) == (0, str(named))
    given = write("", "given.toml")
    assert used("--config", given, env=env) == (0, str(given))
    assert call("--config", str(given), "config", "path", env=env).stdout.strip() == str(given)
    assert call("--config", str(named), "config", "path", "--config", str(given), env=env).stdout.strip() == str(given)
    # A name that is wrong is never passed over.
    assert used(env={**env, "AMILI_ARM_CONFIG": "nowhere"}) == (2, "")


def test_the_home_of_settings(monkeypatch):
    monkeypatch.setenv("HOME", "/home/kari")
    assert places({}) == ["amili-arm.toml", "/home/kari/.config/amili-arm/config.toml"]
    assert places({"XDG_CONFIG_HOME": "relative"}) == places({})
    assert places({"XDG_CONFIG_HOME": "/etc/xdg"})[1] == "/etc/xdg/amili-arm/config.toml"


@posix
def test_a_file_that_others_can_have_put_there_must_be_named(call, write, monkeypatch):
    path = write("", "here/amili-arm.toml", mode=0o666)
    assert "can be written by, somebody else" in call("config", "path").stderr
    assert call("config", "path", "--config", path).exit_code == 0
    path.chmod(0o600)
    assert call("config", "path").exit_code == 0
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert call("config", "path").exit_code == (0 if own == 0 else 2)


@pytest.mark.parametrize("words", [["demo", "--customers", 1, "--documents", 0, "--json"], ["--version"], ["push", "--help"]])
def test_what_talks_to_no_service_reads_no_file(call, write, words):
    write("broken", "here/amili-arm.toml")
    assert call(*words).exit_code == 0


def test_a_fresh_process_with_nothing_but_a_file(served, write, tmp_path, monkeypatch):
    secret = write(served.env["AMILI_ARM_CLIENT_SECRET"] + "\n", "credentials/secret")
    values = {name: served.env[f"AMILI_ARM_{name.upper()}"] for name in ("base_url", "identity_url", "client_id")}
    path = write(
        "[connection]\nclient_no = 2218\nclient_secret_file = '$CREDENTIALS_DIRECTORY/secret'\n"
        + toml(values)
        + "[bulk]\nresults = 'accepted'\nmax_records = 2\n",
        "here/amili-arm.toml",
    )
    env = {**os.environ, "CREDENTIALS_DIRECTORY": str(secret.parent)}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    lines = b"".join(b'{"customerNo":"%d","name":"Kari"}\n' % number for number in range(5))
    for words, folder in ((["push", "customers", "-"], path.parent), (["--config", path, "push", "customers", "-"], elsewhere)):
        ended = subprocess.run(
            [*COMMAND, *map(str, words), "--json"], input=lines, cwd=folder, env=env, capture_output=True, timeout=WAIT, check=False
        )
        assert ended.returncode == 0, ended.stderr
        told = json.loads(ended.stdout)
        assert (told["counts"]["accepted"], told["batches"]) == (5, 3)
    # The option after the command, and another command, need no process of their own.
    records = write(lines.decode(), "records.jsonl")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secret.parent))
    monkeypatch.chdir(elsewhere)
    told = json.loads(CliRunner().invoke(app, ["push", "customers", str(records), "--config", str(path), "--json"]).stdout)
    assert (told["counts"]["accepted"], told["batches"]) == (5, 3)
    monkeypatch.chdir(path.parent)
    assert CliRunner().invoke(app, ["pull", "customers"]).stdout.count("\n") == 5


# --- what is shown --------------------------------------------------------------------------------------------------------------


def test_show_names_every_setting(call, write):
    path = write("[connection]\nclient_secret = 's3cret'\n[bulk]\nmax_records = 5\n")
    result = call("config", "show", "--config", path, env={"AMILI_ARM_BULK_PATIENCE": "60", "AMILI_ARM_MAX_RECORDS": "5", "COLUMNS": "30"})
    lines = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert list(lines) == list(KNOWN)
    assert lines["connection.client_secret"] == ["***", str(path)]
    assert lines["bulk.max_records"] == ["5", str(path)]
    assert lines["bulk.patience"] == ["60.0", "AMILI_ARM_BULK_PATIENCE"]
    assert lines["bulk.max_bytes"] == ["1000000", "default"]
    assert lines["connection.token"] == ["-", "default"]
    assert "AMILI_ARM_MAX_RECORDS in the environment is not a setting: did you mean AMILI_ARM_BULK_MAX_RECORDS?" in result.stderr


@pytest.mark.parametrize("words", [["push", "customers", "x"], ["config", "path"], ["check", "customers", "x"]])
def test_each_command_tells_of_a_variable_that_no_setting_has(call, words):
    result = call(*words, env={"AMILI_ARM_CLIENT_NR": "5", "AMILI_ARM_XYZ": "5", "AMILI_ARM_\x1b[2J": "5"})
    assert "AMILI_ARM_CLIENT_NR in the environment is not a setting: did you mean AMILI_ARM_CLIENT_NO?\n" in result.stderr
    assert "AMILI_ARM_XYZ in the environment is not a setting\n" in result.stderr
    assert "\x1b[2J" not in result.stderr


@pytest.mark.parametrize("way", ["flag", "environment", "file"])
def test_the_credentials_of_a_proxy_are_not_shown(call, write, way):
    url = "http://me:hunter2@proxy.example:3128"
    path = write(toml({}) if way != "file" else f"[connection]\nproxy = '{url}'\n")
    flags = ["--proxy", url] if way == "flag" else []
    env = {"AMILI_ARM_PROXY": url} if way == "environment" else {}
    result = call("config", "show", "--json", "--config", path, *flags, env=env)
    assert shown(result)["connection.proxy"]["value"] == "http://proxy.example:3128"
    assert "hunter2" not in call("config", "show", "--config", path, *flags, env=env).output
    if way == "file":
        path.chmod(0o644)
        result = call("config", "show", "--config", path)
        assert (result.exit_code, "holds connection.proxy and is open to other users" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--proxy", "proxy:3128"], "proxy must be an address"),
        (["--ca-file", "nowhere.pem"], "--ca-file nowhere.pem can't be read"),
        (["--client-cert", "nowhere.pem"], "--client-cert nowhere.pem can't be read"),
        (["--client-key", "nowhere.pem"], "belong to --client-cert"),
    ],
)
def test_the_way_to_the_service_is_checked_before_anything_is_sent(call, write, served, words, text):
    result = call("push", "customers", write("", "records"), *words, env=served.env)
    assert result.exit_code == 2
    assert text in result.stderr


def test_a_proxy_of_a_setting_overrides_that_of_the_environment(write):
    def used(text, **variables):
        path = write(f"[connection]\nbase_url = 'https://api.example'\nclient_no = 1\ntoken = 't'\n{text}")
        return resolve({}, read_config(str(path), {}), variables).client()._context.transport._connections._proxies.shown

    assert used("") is None
    assert used("", HTTPS_PROXY="http://a:1") == "http://a:1"
    assert used("proxy = 'http://b:1'", HTTPS_PROXY="http://a:1") == "http://b:1"
    assert used("proxy = 'none'", HTTPS_PROXY="http://a:1") is None
    assert used("proxy = 'http://b:1'", AMILI_ARM_PROXY="none") is None


def test_no_limit_can_be_said_in_a_file(write):
    def total(text, **variables):
        path = write(f"[connection]\nbase_url = 'https://api.example'\nclient_no = 1\ntoken = 't'\n[connection.timeout]\n{text}")
        return resolve({}, read_config(str(path), {}), variables).client()._context.transport.timeout.total

    assert total("") is DEFAULT
    assert total("total = 'none'") is None
    assert total("total = 5") == 5
    assert total("total = 5", AMILI_ARM_TIMEOUT_TOTAL="none") is None
    assert total("total = 5", AMILI_ARM_TIMEOUT_TOTAL="default") is DEFAULT


@posix
def test_a_secret_file_that_every_user_can_read_is_told(call, write, served):
    secret = write(served.env["AMILI_ARM_CLIENT_SECRET"], "secret", mode=0o644)
    env = {**served.env, "AMILI_ARM_CLIENT_SECRET": "", "AMILI_ARM_CLIENT_SECRET_FILE": str(secret)}
    result = call("push", "customers", write("", "records"), env=env)
    assert f"AMILI_ARM_CLIENT_SECRET_FILE: {secret} can be read by every user of this machine: chmod 600 {secret}" in result.stderr
    secret.chmod(0o600)
    assert "every user" not in call("push", "customers", write("", "records"), env=env).stderr


def test_the_known_settings_are_those_of_the_value_objects():
    """A field that is new is thought of here too."""
    for name, made in (("timeout", Timeout), ("retry", RetryPolicy), ("limits", Limits), ("batch_words", BatchWords)):
        assert {field.name for field in fields(made)} == {one.name for one in KNOWN.values() if one.table == f"connection.{name}"}
    of_a_run = {"poll_first", "poll_max", "journal", "run_id", "dead_letter", "reconcile", "on_progress", "limit", "dry_run"}
    assert {field.name for field in fields(BulkOptions)} - of_a_run == {one.name for one in KNOWN.values() if one.table == "bulk"}


secrets = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=200)


def said(words, folder, secret, way):
    """All that a command says where a secret comes this way."""
    config, alone = Path(folder) / "c.toml", Path(folder) / "secret"
    env = {"XDG_CONFIG_HOME": folder, "AMILI_ARM_CONFIG": str(config), "AMILI_ARM_CLIENT_SECRET": None, "AMILI_ARM_TOKEN": None}
    lines = ""
    if way == "environment":
        env |= {"AMILI_ARM_CLIENT_SECRET": secret, "AMILI_ARM_TOKEN": secret}
    elif way == "file":
        lines = toml({"client_secret": secret, "token": secret})
    else:
        lines = toml({"client_secret_file": str(alone), "token_file": str(alone)})
    alone.write_text(secret, "utf-8")
    config.write_text(f"[connection]\nbase_url = 'https://127.0.0.1:1'\nclient_no = 1\n{lines}", "utf-8")
    config.chmod(0o600)
    result = CliRunner().invoke(app, words, env=env)
    assert not result.exception or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@settings(max_examples=30, deadline=None)
@given(secrets, st.sampled_from(["environment", "file", "alone"]), st.sampled_from([["show"], ["show", "--json"], ["path"]]))
def test_what_is_shown_is_the_same_whatever_the_secret_is(secret, way, words):
    with tempfile.TemporaryDirectory() as folder:
        code, output = said(["config", *words], folder, secret, way)
        assert code == 0
        # Not a letter of it, and not how long it is.
        assert output == said(["config", *words], folder, "another", way)[1]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_fault_of_a_file_tells_its_secret(data):
    secret = "Zq7wXv9kPt3m"
    text = f'[connection]\nclient_no = 1\nclient_secret = "{secret}"\n[bulk]\nmax_records = 5\n'
    first = text.index(secret)
    place = data.draw(st.sampled_from([n for n in range(len(text) + 1) if not first < n < first + len(secret)]))
    cut = data.draw(st.integers(0, 3))
    added = data.draw(st.text("\n\"'[]{}=#.,\\ x1\x00", max_size=3))
    rest = text[place + cut :] if not (place <= first < place + cut) else text[place:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.toml"
        path.write_text(text[:place] + added + rest)
        path.chmod(0o600)
        result = CliRunner().invoke(app, ["config", "show", "--config", str(path)])
        assert secret not in result.output
        assert not result.exception or isinstance(result.exception, SystemExit)


def test_nothing_that_holds_a_secret_shows_it(write):
    file = read_config(str(write("[connection]\ntoken = 's3cret'\n")), {})
    found = resolve({}, file, {})
    for one in (file, found, found.get(TOKEN)):
        assert "s3cret" not in repr(one)
    assert found.get(TOKEN).value == "s3cret"
    assert stat.S_IMODE(Path(file.path).stat().st_mode) == 0o600


@pytest.mark.parametrize("url", ["s3://bucket/customers.csv", "https://files.example/{client_no}.parquet", "abfs://a@b.example/c"])
def test_a_source_may_be_a_url(tmp_path, url):
    file = tmp_path / "amili-arm.toml"
    file.write_text(f"[nightly]\ncustomers = '{url}'\n")
    assert resolve({}, read_config(str(file), {}), {}).value("nightly.customers") == url
