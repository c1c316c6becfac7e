"""``gomachinery health``: for probes, so it imports as little as it can."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from gomachinery_py.health import Report, now, read, reports, run_directory

__all__ = ["health"]


@click.command()
@click.option("--live", is_flag=True, help="Alive is enough; the broker may be away.")
@click.option("--worker", "wanted", default="", help="Only this worker: its tag, its whole name or its process id.")
@click.option("--file", "path", type=click.Path(), help="The file that the worker was given with --health-file.")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
def health(live: bool, wanted: str, path: str | None, as_json: bool) -> int:
    """Whether the workers on this machine are well: exit code 0, or 1 and why.

    Ready is a worker that consumes; it says so in a file every two seconds. Nothing is asked over the network.
    """
    if path:
        one = read(path)
        found = [] if one is None else [one]
    else:
        found = [each for each in reports(run_directory()) if _is(each, wanted)]
    moment = now()
    problems = {each.pid: each.problem(moment, ready=not live) for each in found}
    for each in found:
        if as_json:
            click.echo(json.dumps({**asdict(each), "problem": problems[each.pid]}))
        elif problems[each.pid]:
            click.echo(f"worker {each.worker}: {problems[each.pid]}", err=True)
        else:
            click.echo(f"worker {each.worker}: well, {each.running} running, {each.held} held")
    if not found:
        who = f"worker {wanted}" if wanted else "worker"
        click.echo(f"gomachinery: no {who} has written to {path or run_directory()}; is it running?", err=True)
    return 0 if found and not any(problems.values()) else 1


def _is(report: Report, wanted: str) -> bool:
    return not wanted or wanted in (report.worker, report.worker.partition(":")[0], str(report.pid))
