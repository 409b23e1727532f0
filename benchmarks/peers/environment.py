"""A virtual environment and, where there is one, the generated client of each peer: made once, kept outside the repository.

They are kept in the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`), and made anew when a pinned version, the description of the
operations or Python changes. Nothing of them is in the project's environment, and nothing that was generated is in the repository.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent
ROOT = _HERE.parent.parent
_DESCRIPTION = _HERE / "openapi.json"
_PINNED = _HERE / "requirements.txt"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "amili-arm-async-benchmarks")
_PATIENCE = 600.0
"""Seconds that pip or a generator may take."""


class LeftOutError(Exception):
    """A peer can't take part; the message says why."""


class Peer(NamedTuple):
    """One peer.

    Attributes:
        name: its module here.
        told: what it is called in the table; the versions are added.
        packages: what it needs from the package index.
        generate: the command that makes its client.
        program: what that command needs besides.
    """

    name: str
    told: str
    packages: tuple[str, ...] = ()
    generate: tuple[str, ...] = ()
    program: str = ""


PEERS = (
    Peer("library", ""),
    Peer("by_hand", "a loop by hand"),
    Peer("httpx_pydantic", "httpx and pydantic by hand, model_dump_json()", ("httpx", "pydantic")),
    Peer("httpx_pydantic_json", "httpx and pydantic by hand, json=model_dump()", ("httpx", "pydantic")),
    Peer(
        "openapi_python_client",
        "the client of openapi-python-client",
        ("openapi-python-client",),
        ("openapi-python-client", "generate", "--path", "{description}", "--meta", "none", "--output-path", "{folder}/described"),
    ),
    Peer(
        "openapi_generator",
        "the client of OpenAPI Generator",
        ("openapi-generator-cli", "aiohttp", "aiohttp-retry", "pydantic", "python-dateutil", "typing-extensions"),
        (
            *("openapi-generator-cli", "generate", "--generator-name", "python", "--input-spec", "{description}", "--output", "{folder}"),
            *("--additional-properties", "library=asyncio,packageName=described"),
        ),
        "java",
    ),
)


def command(peer: Peer) -> tuple[list[str], dict[str, str]]:
    """What starts a peer at the root of the repository, and its environment variables; makes its environment where it is not there yet."""
    variables = dict(os.environ)
    python = sys.executable
    if peer.packages:
        if peer.program and shutil.which(peer.program) is None:
            raise LeftOutError(f"{peer.program} is not there")
        folder = _made(peer)
        python = str(_programs(folder) / "python")
        variables["PYTHONPATH"] = str(folder)
    return [python, "-m", f"{__package__}.{peer.name}"], variables


def _programs(folder: Path) -> Path:
    return folder / "venv" / ("Scripts" if os.name == "nt" else "bin")


def _made(peer: Peer) -> Path:
    """The folder of a peer. A mark in it says that it is whole: one that was cut off is made again."""
    made_of = repr((peer.packages, peer.generate, platform.python_version())).encode()
    key = hashlib.sha256(_PINNED.read_bytes() + _DESCRIPTION.read_bytes() + made_of)
    folder = _CACHE / f"{peer.packages[0]}-{key.hexdigest()[:12]}"
    mark = folder / "whole"
    if not mark.exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder / "venv", with_pip=True)
        programs = _programs(folder)
        variables = {**os.environ, "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", "")])}
        _run([str(programs / "python"), "-m", "pip", "install", "--constraint", str(_PINNED), *peer.packages], variables)
        if peer.generate:
            name, *arguments = (part.format(description=_DESCRIPTION, folder=folder) for part in peer.generate)
            _run([str(programs / name), *arguments], variables)
        mark.touch()
    return folder


def _run(arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    what = Path(arguments[0]).name if arguments[1] != "-m" else arguments[2]
    try:
        done = subprocess.run(arguments, check=False, env=variables, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise LeftOutError(f"{what} took too long") from error
    if done.returncode:
        said = (done.stdout + done.stderr).splitlines()
        raise LeftOutError(f"{what} failed: {next((line for line in said if 'error' in line.lower()), done.returncode)}")
