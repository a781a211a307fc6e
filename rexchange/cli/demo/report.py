"""The demo's end: a table, and what happened in plain words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from rich.text import Text

from rexchange.cli.demo.crew import SESSION_TIMEOUT_S
from rexchange.cli.demo.layout import SIZES
from rexchange.cli.demo.story import VICTIM
from rexchange.cli.output import console, count, grid, safe

_MEASURABLE = 100

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rexchange.cli.demo.story import Story


def data(story: Story) -> dict[str, Any]:
    """Return it for JSON."""
    results, layout = story.results, story.layout
    return {
        "files": len(story.files.found),
        "skipped": story.files.skipped,
        "more_files": story.files.cut,
        "queues": [
            {
                "queue": layout.short(name),
                "messages": len(results.expected[name]),
                "redelivered": results.redelivered(name),
                "handled_twice": results.twice(name),
                "lost": results.lost(name),
            }
            for name in layout.work
        ]
        + [{"queue": "audit-log", "messages": len(results.audited), "lost": results.audit_lost()}],
        "redelivered": sum(map(results.redelivered, layout.work)),
        "handled_twice": sum(map(results.twice, layout.work)),
        "handled_twice_without_the_kill": results.unexplained(VICTIM),
        "lost": story.lost,
        "killed": story.killed,
        "held_by_the_killed": story.held,
        "done_by_the_killed": story.done,
        "found_dead_s": _rounded(story.found_dead_s),
        "publish_per_s": _rate(len(story.files.found), story.publish_s),
        "handle_per_s": _rate(_fresh(story), story.work_s),
        "lines": results.lines,
        "bytes": results.size,
        "total_s": _rounded(story.total_s),
    }


def lines(story: Story) -> list[RenderableType]:
    """Return it for people."""
    files = story.files
    if not files.found:
        skipped = f" ({count(files.skipped, 'file')} skipped)" if files.skipped else ""
        return [f"no files in {_folders(story)}{skipped}: nothing to publish, so nothing lost"]
    notes = [f"{files.skipped:,} skipped: unreadable, no plain file, or over 256 MiB"] * bool(files.skipped)
    notes += ["there are more: see --limit"] * files.cut
    head = f"{count(len(files.found), 'file')} of {_folders(story)}"
    verdict = (
        Text("Nothing was lost.", style="bold green")
        if not story.lost
        else Text(
            f"{count(story.lost, 'message')} LOST: this is a bug in rexchange, please report it.", style="bold red"
        )
    )
    return [
        "",
        f"{head} ({'; '.join(notes)})" if notes else head,
        "",
        _table(story),
        "",
        Text("What happened", style="bold"),
        *[_wrapped(sentence) for sentence in _sentences(story)],
        "",
        verdict,
    ]


def _folders(story: Story) -> str:
    return safe(", ".join(str(folder) for folder in story.folders or [story.folder]))


def _wrapped(sentence: str) -> str:
    """Return a sentence as an item of a list, on lines that a person likes to read."""
    return textwrap.fill(sentence, min(console().width, 80), initial_indent="- ", subsequent_indent="  ")


def _table(story: Story) -> RenderableType:
    results, layout = story.results, story.layout
    rows: list[tuple[str | int, ...]] = [
        (
            layout.short(name),
            f"file.*.{size}",
            len(results.expected[name]),
            results.redelivered(name),
            results.twice(name),
            results.lost(name),
        )
        for size, name in zip(SIZES, layout.work, strict=True)
    ]
    rows.append(("audit-log", "# > fanout audit", len(results.audited), 0, 0, results.audit_lost()))
    rows.append(("all", "", *(sum(int(row[at]) for row in rows) for at in range(2, 6))))
    return grid(("queue", "bound by", "messages", "redelivered", "handled twice", "lost"), rows)


def _sentences(story: Story) -> list[str]:
    results, found = story.results, len(story.files.found)
    read = f"{count(results.lines, 'line')}, {_size(results.size)}, {len(results.contents):,} different contents"
    said = [
        (
            "Each file became one message, which went to a work queue chosen by its key file.<suffix>.<size>, and "
            "through a second exchange to the audit log."
        ),
        f"{count(found, 'message')} published to {story.server}{_speed(found, story.publish_s)}.",
        f"{story.workers} worker processes read the files{_speed(_fresh(story), story.work_s)}: {read}.",
    ]
    if results.vanished:
        said.append(f"{count(results.vanished, 'file')} could not be read any more when its turn came.")
    return said + _killing(story)


def _killing(story: Story) -> list[str]:
    results = story.results
    if not story.killed:
        return ["No worker was killed: the one chosen got no message to hold."]
    again = sum(map(results.redelivered, story.layout.work))
    unexplained = results.unexplained(VICTIM)
    explained = sum(map(results.twice, story.layout.work)) - unexplained
    when, in_hand = "Half way" if story.half_way else "At once", count(story.held, "message")
    kill = f"{when}, worker {VICTIM} was killed (kill -9) with {in_hand} in hand"
    said = [f"{kill}; {story.done:,} of them it had done, and none acknowledged."]
    if again and story.found_dead_s is not None:
        said.append(
            f"{story.found_dead_s:.1f} s later it was found dead, and {count(again, 'message')} went to the others "
            f"as redelivered. (A session may be silent for {SESSION_TIMEOUT_S:.0f} s here, for 15 s by default.)"
        )
    if explained:
        said.append(
            f"{count(explained, 'message')} handled twice: done by the dead worker, but not acknowledged, so done "
            "again. That is the price of losing none; handlers should bear it."
        )
    if unexplained:
        said.append(
            f"{count(unexplained, 'message')} handled twice without the kill: a worker was too slow to prove that it "
            "was alive. Is this machine very busy?"
        )
    return said


def _size(size: int) -> str:
    """Return bytes in words."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"  # noqa: PLR2004 - a million


def _speed(number: int, seconds: float) -> str:
    """Return the speed in words, where there was enough to measure one."""
    return f", {_rate(number, seconds):,} a second" if number >= _MEASURABLE else ""


def _fresh(story: Story) -> int:
    return sum(any(not one.redelivered for one in done) for done in story.results.handled.values())


def _rate(number: int, seconds: float) -> int:
    return round(number / seconds) if seconds > 0 else 0


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
