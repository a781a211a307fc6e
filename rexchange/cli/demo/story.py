"""What happens in the demo, from the first file to the last ack."""

from __future__ import annotations

import os
import queue
import secrets
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rexchange import Message
from rexchange.cli.demo.crew import HEARTBEAT_S, SESSION_TIMEOUT_S, Crew, Event, hired
from rexchange.cli.demo.layout import SIZES, Layout, routing_key, size_class
from rexchange.cli.demo.results import Results
from rexchange.cli.demo.walk import Files, walk_all
from rexchange.cli.demo.worker import Orders
from rexchange.cli.output import console

if TYPE_CHECKING:
    from rexchange import Broker, Consumer
    from rexchange.cli.run import Run

VHOST = "rexchange-demo"
VICTIM = 2
_MOST_PREFETCH = 16
_BATCH = 500
_IDLE_S = 0.1
_STALLED_S = 30.0


@dataclass
class Story:
    """What happened. Times are seconds."""

    folder: Path
    files: Files
    workers: int
    layout: Layout
    results: Results
    server: str = ""
    publish_s: float = 0.0
    work_s: float = 0.0
    """From the start of the workers to the last message that nobody had held before."""
    killed: bool = False
    half_way: bool = True
    """Whether that was half way; at once, where there are too few files."""
    held: int = 0
    """Deliveries that the killed worker had in hand."""
    done: int = 0
    """How many of these it had handled and reported, but not yet acknowledged."""
    found_dead_s: float | None = None
    """From the kill to the first report of what the dead worker had held."""
    total_s: float = 0.0
    folders: Sequence[Path] = ()
    """Those that were given; `folder` is what they have in common."""

    @property
    def lost(self) -> int:
        """Messages that somebody should have got and nobody did."""
        return self.results.lost_all() + self.results.audit_lost()


def tell(run: Run, folders: Sequence[Path], *, workers: int, limit: int) -> Story:
    """Let it happen. Raises RexchangeError where the server or the workers cannot be started."""
    start = time.monotonic()
    root, files = walk_all(folders, limit)
    with _server(run) as (url, vhost, layout), _progress(run) as progress:
        here = run.with_(url=url, vhost=vhost)
        results = Results({name: set() for name in layout.work})
        story = Story(root, files, workers, layout, results, folders=folders)
        with here.broker(session_timeout=SESSION_TIMEOUT_S, heartbeat=HEARTBEAT_S) as broker:
            story.server = str(broker.server()).partition(",")[0]
            try:
                layout.declare(broker)
                if files.found:
                    _work(story, broker, url, progress)
            finally:
                if run.options.url:  # else it all goes with the temporary folder
                    layout.delete(broker)
    story.total_s = time.monotonic() - start
    return story


@contextmanager
def _server(run: Run) -> Generator[tuple[str, str, Layout]]:
    """Yield URL, vhost and layout: of a server in a temporary folder, or of the one that was given."""
    vhost = run.options.vhost or VHOST
    if run.options.url:
        yield run.options.url, vhost, Layout(f"demo-{secrets.token_hex(4)}.")
        return
    with tempfile.TemporaryDirectory(prefix="rexchange-demo-") as folder:
        yield f"embedded://{quote(folder)}", vhost, Layout()


@contextmanager
def _progress(run: Run) -> Generator[Progress]:
    screen = console(stderr=True)
    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=run.json or not screen.is_terminal) as progress:
        yield progress


def _work(story: Story, broker: Broker, url: str, progress: Progress) -> None:
    with hired(_orders(story), url, broker.vhost) as crew:
        _publish(story, broker, progress)  # while the workers start
        crew.until_ready()
        _watch(story, broker, crew, progress)
    _audit(story, broker)


def _orders(story: Story) -> list[Orders]:
    """Return what each worker is told: to pause after half its share, so that the kill comes half way."""
    total, workers = len(story.files.found), story.workers
    # So small that the others, when they pause, have left enough for the victim to reach its half.
    prefetch = max(1, min(_MOST_PREFETCH, total // (8 * workers)))
    share = 0 if _few(story) else total // (2 * workers)
    root, layout = os.fspath(story.folder), story.layout
    return [
        Orders(number, root, layout.work, layout.results, prefetch, share, number == VICTIM)
        for number in range(1, workers + 1)
    ]


def _few(story: Story) -> bool:
    """Whether there are so few files that the others would leave the victim nothing: then it goes first."""
    return len(story.files.found) < 8 * story.workers


def _publish(story: Story, broker: Broker, progress: Progress) -> None:
    """Publish a message for each file, and note in which queue it belongs."""
    found, layout = story.files.found, story.layout
    task = progress.add_task("publishing", total=len(found))
    queue_of = dict[str, str](zip(SIZES, layout.work, strict=True))
    start = time.monotonic()
    for at in range(0, len(found), _BATCH):
        batch = found[at : at + _BATCH]
        broker.publish_many(
            [Message(file.path, exchange=layout.files, routing_key=routing_key(file)) for file in batch]
        )
        for file in batch:
            story.results.expected[queue_of[size_class(file.size)]].add(file.path)
        progress.advance(task, len(batch))
    story.publish_s = time.monotonic() - start


def _watch(story: Story, broker: Broker, crew: Crew, progress: Progress) -> None:
    """Let the workers work, kill one half way, and read the reports until nothing is left to do."""
    task = progress.add_task("working", total=story.results.total)
    others = [number for number in range(1, story.workers + 1) if number != VICTIM]
    staged = _few(story)
    start = last = time.monotonic()
    crew.go(*([VICTIM] if staged else [VICTIM, *others]))
    killed_at = 0.0
    alive = {*others, VICTIM}
    with broker.consume(story.layout.results, prefetch=_BATCH, timeout=_IDLE_S) as reports:
        while alive:
            if _read(story, reports):
                last = time.monotonic()
                progress.update(task, completed=len(story.results.handled))
            for event in _events(crew):
                if event.name == "holding":
                    killed_at = time.monotonic()
                    crew.kill(VICTIM)
                    story.killed, story.half_way = True, not staged
                    story.held, story.done = event.detail
                    progress.update(task, description="one killed")
                    # Twice: those that wait for their start will wait half way, too.
                    crew.go(*others, *others)
                elif event.name in ("failed", "ended") and event.worker in alive:
                    alive.discard(event.worker)
                    if event.worker == VICTIM and not story.killed:
                        crew.go(*others, *others)  # it died by itself, and they would wait for it for ever
            if time.monotonic() - last > _STALLED_S or (_drained(story, broker) and not _read(story, reports)):
                break
    story.work_s = max(story.results.last_fresh() - start, 0.0)
    again = story.results.first_again()
    story.found_dead_s = None if again is None or not story.killed else again - killed_at


def _read(story: Story, reports: Consumer) -> int:
    """Take the reports that are there."""
    count = 0
    for batch in reports.batches(_BATCH):
        at = time.monotonic()
        for delivery in batch:
            story.results.add(delivery, at)
        count += len(batch)
        if count >= _BATCH:
            break  # the kill should not wait for the last report
    return count


def _events(crew: Crew) -> Iterator[Event]:
    while True:
        try:
            yield crew.events.get_nowait()
        except queue.Empty:
            return


def _drained(story: Story, broker: Broker) -> bool:
    """Whether all was handled and nothing is left: a message may be handled and wait for its second time."""
    if not story.results.complete:
        return False
    counts = {info.queue.name: info.ready + info.unacked for info in broker.queues()}
    return not any(counts.get(name, 0) for name in story.layout.work)


def _audit(story: Story, broker: Broker) -> None:
    """Read the audit log, which no worker touched."""
    with broker.consume(story.layout.audit_log, prefetch=_BATCH, timeout=_IDLE_S) as log:
        story.results.audited.update(delivery.body for delivery in log)
