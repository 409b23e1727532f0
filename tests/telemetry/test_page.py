"""docs/opentelemetry.md has every attribute and every metric, as they are."""

import re
from pathlib import Path

from amili_arm_async.telemetry.table import ATTRIBUTES, METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "opentelemetry.md").read_text("utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the table below a heading, by the name in their first cell."""
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = ([cell.strip() for cell in line[1:-1].split("|")] for line in part.splitlines() if line.startswith("| `"))
    return {first.strip("`"): rest for first, *rest in cells}


def test_every_attribute_is_on_the_page() -> None:
    assert {name: meaning for name, (meaning,) in rows("Attributes").items()} == {name: one.meaning for name, one in ATTRIBUTES.items()}


def test_every_metric_is_on_the_page() -> None:
    words = {"counter": "counter", "observable": "up-down counter", "histogram": "histogram"}
    found = {
        name: (instrument, unit.strip("`"), tuple(re.findall(r"`([\w.]+)`", attributes)))
        for name, (instrument, unit, _, attributes) in rows("Metrics").items()
    }
    assert found == {name: (words[one.instrument], one.unit, one.attributes) for name, one in METRICS.items()}
