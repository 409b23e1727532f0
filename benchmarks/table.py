"""The table: on the screen, and in RESULTS.md."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import amili_arm_async

from . import sink
from .measure import Row

FOLDER = Path(__file__).parent
PACKAGES = ("aiohttp", "msgspec", "anyio", "structlog")


def machine() -> str:
    """What it was measured on."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return f"{_processor()}, {os.cpu_count()} processors, {system}"


def versions() -> str:
    """What was measured."""
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return f"Python {platform.python_version()}, amili-arm-async {amili_arm_async.__version__}, {packages}; sink: {sink.kind()}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "an unknown processor"


def _verdict(row: Row) -> str:
    return {None: "", True: "met", False: "NOT MET"}[row.met]


def show(rows: list[Row]) -> None:
    """Prints the table, and what it was measured on."""
    width = max((len(row.question) for row in rows), default=0)
    print(f"{'':{width}}  {'library':>8}  {'beside':>8} {'':11}  {'':>9}  {'budget':>8}")
    for row in rows:
        figures = f"{row.ours:8.2f}  {row.beside:8.2f} {row.unit:11}  {row.compared:>9}"
        print(f"{row.question:{width}}  {figures}  {row.aim:>8}  {_verdict(row)}".rstrip())
    print(f"\n{machine()}; {versions()}")


def write(rows: list[Row], date: str, command: str) -> None:
    """Writes RESULTS.md: how it was made, the table, and NOTES.md, which is written by hand."""
    lines = [
        "# Results",
        "",
        f"Made on {date} by `{command}`, which writes this file anew; the notes below the table are those of [NOTES.md](NOTES.md).",
        "",
        f"- Machine: {machine()}.",
        f"- Versions: {versions()}.",
        "- Processor time of the client's process alone, unless the question says wall or memory; medians of runs that take turns, in an",
        "  order that changes, after a round that does not count. The sink is a process of its own.",
        "",
        "| question | library | beside | unit | compared | budget | |",
        "|---|---:|---:|---|---:|---:|---|",
        *(
            f"| {row.question} | {row.ours:.2f} | {row.beside:.2f} | {row.unit} | {row.compared} | {row.aim} | {_verdict(row)} |"
            for row in rows
        ),
        "",
    ]
    notes = FOLDER / "NOTES.md"
    (FOLDER / "RESULTS.md").write_text("\n".join(lines) + "\n" + notes.read_text("utf-8"), "utf-8")
