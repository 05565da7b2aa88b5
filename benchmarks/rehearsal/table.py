"""The rows of a rehearsal as text: lines, bars that hold or not, growth, and the page's table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

EPOCHS = {"cnn": 20, "rnn": 20, "joint": 5, "center": 5, "full": 5}  # configs/sketchmate.py
MOST_BYTES = 4e9
LEAST_CONVERTED = 25_000  # drawings a second
MOST_REPORT = 60  # seconds
# Time and memory of a larger size may exceed their share of the data by this: noise of a machine.
SLACK = 1.15

BEGIN, END = "<!-- rehearsal -->", "<!-- end of rehearsal -->"
Row = dict[str, Any]


def line(row: Row) -> str:
    """One step for the terminal."""
    text = (
        f"{row['step']:<9} {row['seconds']:8.1f} s {row['cpu_seconds']:8.1f} CPU s  "
        f"{_speed(row):>10} items/s "
        f"{row['peak_bytes'] / 1e9:6.2f} GB memory  {row['peak_disk_bytes'] / 1e9:6.2f} GB disk"
    )
    return text + (f"  ({note})" if (note := _note(row)) else "")


def bars(sizes: list[dict]) -> Iterator[str]:
    """A line for each bar: held or missed, and by what."""
    for size in sizes:
        at = f"{size['drawings']:,} drawings"
        rows = {row["step"]: row for row in size["rows"]}
        peak = max(rows.values(), key=lambda row: row["peak_bytes"])
        memory = peak["peak_bytes"]
        yield _bar(memory <= MOST_BYTES, f"{at}: {memory / 1e9:.2f} GB at most, in {peak['step']}")
        if "convert" in rows:
            speed = rows["convert"]["items"] / rows["convert"]["seconds"]
            yield _bar(speed >= LEAST_CONVERTED, f"{at}: {speed:,.0f} drawings/s converted")
        if "report" in rows:
            seconds = rows["report"]["seconds_after_scores"]
            yield _bar(seconds <= MOST_REPORT, f"{at}: report {seconds:.1f} s after the scores")
    if len(sizes) > 1:
        small, large = sizes[0], sizes[-1]
        for one, other in zip(small["rows"], large["rows"], strict=True):
            if one["step"] == "train":
                continue  # as many steps at any size
            more = other["items"] / one["items"]
            seconds = other["cpu_seconds"] / one["cpu_seconds"]
            memory = other["peak_bytes"] / one["peak_bytes"]
            text = f"{one['step']}: {more:.1f} x the items, {seconds:.1f} x the CPU seconds"
            text += f", {memory:.1f} x the memory; {_fit(one, other)}"
            yield _bar(max(seconds, memory) <= SLACK * more, text)


def _fit(one: Row, other: Row) -> str:
    """The straight lines through two sizes."""
    items = other["items"] - one["items"]
    slopes = [(other[name] - one[name]) / items for name in ("cpu_seconds", "peak_bytes")]
    return f"{1e6 * slopes[0]:.1f} CPU µs and {slopes[1]:.0f} bytes for each further item"


def _bar(held: bool, text: str) -> str:
    return f"{'holds' if held else 'MISSED'}: {text}"


def schedule(size: dict) -> dict[str, float]:
    """Hours of the paper's schedule with the rehearsal's network, by part, from its speeds.

    Empty unless all steps were taken.
    """
    rows = {row["step"]: row for row in size["rows"]}
    if not {"train", "encode", "scores", "report"} <= rows.keys():
        return {}
    trained = size["drawings"] * 90 / 111
    encoded = rows["encode"]["items"] / rows["encode"]["seconds"]
    speeds = {name: rows["train"].get(f"{name}_sketches_per_second") for name in EPOCHS}
    seconds = {name: EPOCHS[name] * trained / speed for name, speed in speeds.items() if speed}
    stages = len(seconds)
    seconds["centres"] = rows["train"]["centres_seconds"]
    seconds["validation after each stage"] = stages * size["drawings"] * 10 / 111 / encoded
    rest = sum(
        rows[name]["seconds"] for name in rows if name not in ("stream", "resident", "train")
    )
    return {name: value / 3600 for name, value in (seconds | {"all other steps": rest}).items()}


def markdown(sizes: list[dict]) -> str:
    """The table of docs/performance.md, of the largest size."""
    size = sizes[-1]
    lines = [
        f"{size['drawings']:,} drawings ({size['written']:,} written as {size['form']}, "
        f"{size['source_bytes'] / 1e9:.2f} GB):",
        "",
        "| step | items | seconds | CPU seconds | items/s | peak memory, GB | most disk, GB | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['step']} | {row['items']:,} | {row['seconds']:.1f} | {row['cpu_seconds']:.1f} | "
        f"{_speed(row)} | {row['peak_bytes'] / 1e9:.2f} | "
        f"{row['peak_disk_bytes'] / 1e9:.2f} | {_note(row)} |"
        for row in size["rows"]
    ]
    if parts := schedule(size):
        text = ", ".join(f"{name} {hours:.2f}" for name, hours in parts.items())
        total = sum(parts.values())
        lines += ["", f"The whole schedule of 55 epochs would take {total:.1f} hours: {text}."]
    return "\n".join(lines)


def _speed(row: Row) -> str:
    """Items a second; of a training, which compiles and finds centres as well, see `_note`."""
    return "-" if row["step"] == "train" else f"{row['items'] / row['seconds']:,.0f}"


def _note(row: Row) -> str:
    """What a step has to say besides its costs."""
    notes = {
        "kept": "{:,} kept",
        "bytes_held": "{:,} bytes held by the device",
        "centres_seconds": "centres {:.1f} s",
        "map": "MAP {:.3f}",
        "seconds_after_scores": "{:.1f} s after the scores",
        "open_seconds": "opened in {:.1f} s",
        "median_milliseconds": "a query {:.1f} ms",
    }
    said = [text.format(row[name]) for name, text in notes.items() if name in row]
    speeds = {name: row.get(f"{name}_sketches_per_second") for name in EPOCHS}
    own = [f"{name} {speed:,.0f}" for name, speed in speeds.items() if speed]
    return ", ".join(said + ([f"sketches/s: {', '.join(own)}"] if own else []))


def insert(page: Path, text: str) -> None:
    """Put a table between the page's two marks."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
