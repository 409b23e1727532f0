"""The drawings of the page, as SVG without script: a bar of states, throughput and latency over time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ...bulk.outcomes import STATES, SUCCESS, State
from ...nightly.report import Bucket, Timeline
from .markup import Markup, duration, element, join, number, percent

__all__ = ["ORDER", "bucket_row", "latency_chart", "state_bar", "throughput_chart"]

ORDER: Final[tuple[State, ...]] = (
    *(state for state in STATES if state in SUCCESS),
    *(state for state in STATES if state not in SUCCESS),
)
"""The order in which the page shows the states: successes first."""

_WIDE: Final = 420
_HIGH: Final = 208
_LEFT: Final = 50
_RIGHT: Final = 412
_TOP: Final = 14
_BOTTOM: Final = 170


def state_bar(counts: Mapping[State, int], label: str) -> Markup:
    """Draws one bar with a section for each state that occurs; even the smallest is visible.

    Args:
        counts: records by state.
        label: read out by screen readers.

    Returns:
        The drawing; empty where there are no records.
    """
    whole = sum(counts.values())
    if not whole:
        return Markup("")
    present: list[tuple[State, int]] = [(state, counts[state]) for state in ORDER if counts.get(state)]
    least = 6.0
    free = 1000 - least * len(present)
    at, sections = 0.0, []
    for state, count in present:
        width = least + free * (count / whole)
        title = element("title", f"{state}: {number(count)} ({percent(count, whole)})")
        sections.append(element("g", title, element("rect", x=at, y=0, width=max(width - 1.5, 1.0), height=20), class_=f"s-{state}"))
        at += width
    summary = ", ".join(f"{number(count)} {state}" for state, count in present)
    return element(
        "svg", *sections, viewBox="0 0 1000 20", preserveAspectRatio="none", role="img", aria_label=f"{label}: {summary}", class_="bar"
    )


def throughput_chart(timeline: Timeline, title: str) -> Markup:
    """Draws the records settled per second, stacked: succeeded below, failed above.

    Args:
        timeline: with at least one bucket.
        title: read out by screen readers.

    Returns:
        The drawing.
    """
    buckets, seconds = timeline.buckets, timeline.seconds
    failed = [min(bucket.failed, bucket.settled) for bucket in buckets]
    rates = [bucket.settled / seconds for bucket in buckets]
    top, ticks = _scale(max(rates))
    step = (_RIGHT - _LEFT) / len(buckets)
    gap = min(1.0, step * 0.12)
    bars: list[Markup] = []
    for place, (bucket, failures) in enumerate(zip(buckets, failed, strict=True)):
        if not bucket.settled:
            continue
        x, y = _LEFT + place * step + gap / 2, _y(rates[place], top)
        # At least a line, so that one failure among a hundred thousand is visible.
        red = max((failures / seconds / top) * (_BOTTOM - _TOP), 1.5) if failures else 0.0
        words = f"{_from_to(place, seconds)}: {number(bucket.settled)} settled, {number(failures)} of them failed"
        parts = [element("title", words)]
        if bucket.settled > failures:
            parts.append(element("rect", x=x, y=y, width=step - gap, height=_BOTTOM - y, class_="success"))
        if failures:
            parts.append(element("rect", x=x, y=y, width=step - gap, height=red, class_="failure"))
        bars.append(element("g", *parts))
    total = sum(bucket.settled for bucket in buckets)
    about = (
        f"{number(total)} records in {duration(len(buckets) * seconds)}, {_mark(max(rates))} a second at most;"
        f" {number(sum(failed))} failed."
    )
    return _drawing(f"{title}: throughput. {about}", [*_axes(top, ticks, len(buckets) * seconds), *bars])


def latency_chart(timeline: Timeline, title: str) -> Markup:
    """Draws the time until a batch was accepted: the median and the 95th percentile.

    Args:
        timeline: with at least one bucket.
        title: read out by screen readers.

    Returns:
        The drawing; empty where no batch was accepted.
    """
    pairs = [bucket.latency_ms for bucket in timeline.buckets]
    known = [pair for pair in pairs if pair is not None]
    if not known:
        return Markup("")
    highest = max(max(pair) for pair in known)
    factor = 1000.0 if highest >= 2000 else 1.0
    unit = "s" if factor == 1000 else "ms"
    top, ticks = _scale(highest / factor)
    drawn = [
        *_lines([pair and pair[1] / factor for pair in pairs], top, "p95"),
        *_lines([pair and pair[0] / factor for pair in pairs], top, "p50"),
    ]
    about = f"median at most {_mark(max(pair[0] for pair in known) / factor)} {unit}, p95 at most {_mark(highest / factor)} {unit}."
    return _drawing(f"{title}: time until a batch was accepted. {about}", [*_axes(top, ticks, len(pairs) * timeline.seconds, unit), *drawn])


def _drawing(label: str, inside: Iterable[Markup]) -> Markup:
    return element("svg", *inside, viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", aria_label=label, class_="chart")


def _y(value: float, top: float) -> float:
    return _BOTTOM - value / top * (_BOTTOM - _TOP)


def _lines(values: Sequence[float | None], top: float, name: str) -> list[Markup]:
    """Draws a line for each series of consecutive values; a single value is a dot."""
    step = (_RIGHT - _LEFT) / len(values)
    elements: list[Markup] = []
    points: list[tuple[float, float]] = []
    for place, value in enumerate([*values, None]):
        if value is not None:
            points.append((_LEFT + (place + 0.5) * step, _y(value, top)))
        elif len(points) == 1:
            elements.append(element("circle", cx=points[0][0], cy=points[0][1], r=2, class_=name))
            points = []
        elif points:
            elements.append(element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=name))
            points = []
    return elements


def _axes(top: float, ticks: Sequence[float], seconds: float, unit: str = "") -> list[Markup]:
    elements: list[Markup] = []
    for tick in ticks:
        y = _y(tick, top)
        elements.append(element("line", x1=_LEFT, x2=_RIGHT, y1=y, y2=y, class_="axis" if not tick else "grid"))
        elements.append(element("text", _mark(tick), x=_LEFT - 7, y=y + 4, text_anchor="end"))
    elements += _time_axis(seconds)
    elements.append(element("text", unit or "records/s", x=0, y=_HIGH - 4, class_="unit"))
    return elements


def _time_axis(seconds: float) -> list[Markup]:
    """Draws marks at round times, in a unit that fits."""
    factor, unit = next((f, u) for f, u in ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds")) if seconds >= 2 * f or f == 1.0)
    whole = seconds / factor
    elements: list[Markup] = []
    for tick in _round_ticks(whole, 5):
        x = _LEFT + tick / whole * (_RIGHT - _LEFT)
        if x <= _RIGHT + 0.5:
            elements.append(element("line", x1=x, x2=x, y1=_BOTTOM, y2=_BOTTOM + 4, class_="axis"))
            elements.append(element("text", _mark(tick), x=x, y=_BOTTOM + 18, text_anchor="middle" if x < _RIGHT - 12 else "end"))
    elements.append(element("text", f"{unit} from the start", x=_RIGHT, y=_HIGH - 4, text_anchor="end", class_="unit"))
    return elements


def _scale(most: float) -> tuple[float, list[float]]:
    """Returns where the axis ends, and its marks."""
    ticks = _round_ticks(most if most > 0 else 1.0, 4)
    return ticks[-1], ticks


def _round_ticks(most: float, about: int) -> list[float]:
    """Returns marks from 0 to at least `most`, spaced by 1, 2 or 5 times a power of ten."""
    power = 10.0 ** _exponent(most / about)
    width = next(power * step for step in (1, 2, 5, 10) if most / (power * step) <= about)
    count = -int(-most // width) if most % width else round(most / width)
    return [width * place for place in range(max(count, 1) + 1)]


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def _mark(value: float) -> str:
    for factor, word in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= factor:
            return f"{value / (1000 if word == 'k' else factor):.4g}{word}"
    return f"{value:.3g}" if value < 1000 else number(round(value))


def _from_to(place: int, seconds: float) -> str:
    return f"{duration(place * seconds)} to {duration((place + 1) * seconds)}"


def bucket_row(place: int, seconds: float, bucket: Bucket) -> Markup:
    """Draws a row of the table with the same numbers.

    Args:
        place: of the bucket, from 0.
        seconds: width of a bucket.
        bucket: the numbers.

    Returns:
        The row.
    """
    latency = [f"{_mark(value)} ms" for value in bucket.latency_ms] if bucket.latency_ms is not None else ["\u2013", "\u2013"]
    cells = [number(bucket.settled), number(bucket.failed), number(bucket.accepted), *latency]
    return element("tr", element("th", duration(place * seconds), scope="row"), join(*(element("td", cell) for cell in cells)))
