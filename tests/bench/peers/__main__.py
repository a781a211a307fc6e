"""The benchmark against every peer: `python -m tests.bench.peers [--quick] [--only NAME] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench import results
from tests.bench.peers import jobs, schedule
from tests.bench.peers.durable import Durable
from tests.bench.peers.process import Failed
from tests.bench.peers.rabbit import Rabbit
from tests.bench.peers.roster import ROSTER, VENVS, Contestant, named
from tests.bench.peers.tables import show
from tests.bench.venvs import FOLDER, NotInstalled, python_with

AMQP = "amqp://guest:guest@127.0.0.1:5672/%2F"
_JOBS_BOX_S = {False: 2.0, True: 0.3}
Tell = Callable[[str], None]


def _pythons(names: Sequence[str], *, refresh: bool, tell: Tell) -> dict[str, Path | str]:
    def make(name: str) -> Path | str:
        if not VENVS[name]:
            return Path(sys.executable)
        if refresh:
            shutil.rmtree(FOLDER / name, ignore_errors=True)
        try:
            python = python_with(name, VENVS[name])
        except NotInstalled as error:
            return f"not installed: {error}"
        tell(f"venv {name}")
        return python

    # pip waits for the network and for one core, in turns.
    with ThreadPoolExecutor(max_workers=3) as pool:
        return dict(zip(names, pool.map(make, names), strict=True))


def _rabbit(url: str) -> Rabbit | str:
    try:
        return Rabbit(url)
    except ConnectionError as error:
        return str(error)


def _drains(
    contestants: Sequence[Contestant],
    backends: Mapping[str, schedule.Backend | str],
    pythons: Mapping[str, Path | str],
    rates: Mapping[str, float],
    tell: Tell,
    *,
    quick: bool,
) -> dict[str, Any]:
    """Run the job queues' benchmark once for each; return the results by name."""
    found: dict[str, Any] = {}
    for one in contestants:
        backend, python = backends[one.broker], pythons[one.venv]
        row: dict[str, Any] = {"label": one.label, "ours": one.ours}
        if isinstance(backend, str) or isinstance(python, str):
            found[one.name] = {**row, "missing": schedule.missing(one, backends, pythons)}
            continue
        try:
            backend.reset()
            count = jobs.count_for(rates.get(one.name, one.rate), _JOBS_BOX_S[quick])
            row |= jobs.drain(one, python, backend.url, count, jobs.FEW_WORKERS if quick else jobs.WORKERS)
        except Failed as error:
            row["missing"] = str(error)
        found[one.name] = row
        tell(f"jobs  {one.label}: {row.get('missing') or format(row['rate'], ',.0f') + ' a second'}")
    return found


def measure(
    contestants: Sequence[Contestant], amqp: str, *, quick: bool, refresh: bool, tell: Tell
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the section `peers` of the results, and the servers' names."""
    pythons = _pythons(list(dict.fromkeys(each.venv for each in contestants)), refresh=refresh, tell=tell)
    rabbit = _rabbit(amqp)
    pace = schedule.QUICK if quick else schedule.FULL
    with Durable() as server, ExitStack() as stack:
        if isinstance(rabbit, Rabbit):
            stack.enter_context(suppress(Failed))  # the figures are worth more than a RabbitMQ that went away
            stack.callback(rabbit.reset)
        backends: dict[str, schedule.Backend | str] = {"redis": server, "rabbitmq": rabbit}
        in_turn = [each for each in contestants if each.in_turn]
        records = schedule.run(in_turn, backends, pythons, pace, tell)
        summaries = {
            each.contestant.name: schedule.summary(each, schedule.missing(each.contestant, backends, pythons))
            for each in records
        }
        rates = {name: each["consume"]["rate"]["median"] for name, each in summaries.items() if "consume" in each}
        with_jobs = [each for each in contestants if each.jobs]
        drained = _drains(with_jobs, backends, pythons, rates, tell, quick=quick)
        servers = {"peers: Redis": f"{server.name}: {server.settings}"}
    servers["peers: RabbitMQ"] = (
        f"{rabbit.name}: durable classic queue, persistent messages" if isinstance(rabbit, Rabbit) else rabbit
    )
    section = {
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load": round(os.getloadavg()[1], 1),  # of the last five minutes: what else ran shows in it
        "mode": "quick" if quick else "full",
        "rounds": max((each.get("rounds", 0) for each in summaries.values()), default=0),
        "contestants": summaries,
        "jobs": drained,
    }
    return section, servers


def joined(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the new section with the contestants of the old one that did not run now, in the roster's order."""
    together = dict(new)
    for part in ("contestants", "jobs"):
        both = {**old.get(part, {}), **new[part]}
        together[part] = {each.name: both[each.name] for each in ROSTER if each.name in both}
    return together


def main() -> int:
    """Measure, print, write; 0 also where contestants are missing: they are reported."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: shows that it works, not how fast")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a contestant or family; repeat it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="put the section `peers` into this file")
    parser.add_argument("--amqp", default=AMQP, metavar="URL", help="the RabbitMQ to use (default: %(default)s)")
    parser.add_argument("--refresh", action="store_true", help="make the venvs anew, with the newest versions")
    options = parser.parse_args()
    try:
        contestants = named(options.only) if options.only else list(ROSTER)
    except ValueError as error:
        parser.error(str(error))
    console = Console(width=None if sys.stdout.isatty() else 150)
    # Whoever is told to stop still stops its servers and its contestants.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:4.0f} s[/]  ", end="")
        console.print(text, highlight=False, markup=False)

    section, servers = measure(contestants, options.amqp, quick=options.quick, refresh=options.refresh, tell=tell)
    if options.only and options.json and options.json.exists():
        section = joined(json.loads(options.json.read_text(encoding="utf-8")).get("peers", {}), section)
    show(console, section)
    for name, what in servers.items():
        console.print(f"{name}: {what}", highlight=False)
    console.print(f"{time.monotonic() - started:.0f} seconds")
    if options.json:
        results.put(options.json, "peers", section, servers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
