"""Fleets on services that only count: RabbitMQ, SQS, Pub/Sub."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from gomachinery_py.brokers.amqp import AMQPBroker
from gomachinery_py.brokers.base import QueueInfo
from gomachinery_py.doctor.findings import PROBLEM, WARNING, Finding, Fleet, Report, counted, dead_letters
from gomachinery_py.doctor.messages import judge_messages
from gomachinery_py.effects import sleep
from gomachinery_py.errors import ServiceError
from gomachinery_py.incoming import brief
from gomachinery_py.urls import AMQPURL, parse_broker, split_brokers
from gomachinery_py.wire import names

__all__ = ["examine_counts"]

_NOT_TOLD_BY_AMQP: Final = (
    "RabbitMQ tells a client neither what was given back nor what is delayed: tasks that circle or are overdue were "
    "not looked for; with its management plugin (--management http://host:15672) the former are"
)
_NOT_TOLD: Final = (
    "this service tells neither who consumes a queue nor what was given back nor what is delayed: only dead letters "
    "and missing queues were looked for"
)
_COPIES: Final = 1000
# A second: what workers that stop or are busy give back is far less, for long.
_GIVEN_BACK: Final = 50.0
# Seconds; RabbitMQ takes a sample every five.
_LATELY, _SAMPLED = 20, 5
_SAMPLE: Final = 50
_DEAD_SAMPLE: Final = 3


async def examine_counts(fleet: Fleet, report: Report) -> None:
    """Two looks, ``watch`` seconds apart."""
    wanted = list(fleet.queues) or sorted({fleet.config.default_queue, *fleet.consumed})
    is_amqp = isinstance(fleet.broker, AMQPBroker)
    if not is_amqp:
        report.limits.append(_NOT_TOLD)
    elif fleet.management is None:
        report.limits.append(_NOT_TOLD_BY_AMQP)
    first = {name: await _count(fleet, name, report) for name in wanted}
    given_back = {name: await _given_back(fleet, name) for name in wanted}
    for name, before in first.items():
        if before is not None and given_back[name] is None:
            report.limits.append(
                f"the management plugin has no queue {name!r}, tasks that circle there were not looked for: is it this "
                "broker's?"
            )
    await sleep(fleet.watch)
    for name, before in first.items():
        after = await _count(fleet, name, report) if before is not None else None
        if before is None or after is None:
            continue
        report.queues.append(name)
        if is_amqp:
            await _unserved(fleet, before, after, report)
            report.findings += _circling(name, min(given_back[name] or 0.0, await _given_back(fleet, name) or 0.0))
        if after.dead:
            report.findings.append(dead_letters(fleet, name, await _dead_text(fleet, after)))
    if isinstance(fleet.broker, AMQPBroker):
        await _copies(fleet, fleet.broker, report)


async def _count(fleet: Fleet, name: str, report: Report) -> QueueInfo | None:
    """A queue's numbers; a finding when there is no such queue."""
    try:
        infos = await fleet.broker.queues([name])
        why = "there is no such queue"
    except NotImplementedError as error:
        report.limits.append(f"{name!r} was not looked at: {error}")
        return None
    except ServiceError as error:
        infos, why = [], str(error)
    if infos:
        return infos[0]
    if all(finding.where != name for finding in report.findings):
        do = f"start a worker, or look for a misspelt name: {fleet.command('worker APP -q', name)}"
        report.findings.append(Finding(WARNING, "no-queue", name, why, do))
    return None


async def _unserved(fleet: Fleet, before: QueueInfo, after: QueueInfo, report: Report) -> None:
    if before.workers or after.workers or not (before.waiting and after.waiting):
        return
    do = f"start a worker: {fleet.command('worker APP -q', after.name)}"
    what = f"{after.waiting} wait, and the queue has no consumer"
    report.findings.append(Finding(PROBLEM, "unserved", after.name, what, do))
    # Nobody is kept from them by looking at them.
    bodies = await fleet.broker.pending(after.name, 0, _SAMPLE)
    queues = fleet.broker.own_queues | {after.name}
    reserved = fleet.broker.reserved_names() - queues
    report.findings += judge_messages(
        fleet, after.name, bodies, lambda name: name in reserved or names.is_reserved_key(name), queues
    )


async def _given_back(fleet: Fleet, queue: str) -> float | None:
    """Messages a second that were delivered again lately, as RabbitMQ counted; None where it has no such queue."""
    if fleet.management is None or not isinstance(fleet.broker, AMQPBroker):
        return 0.0
    path = f"/queues/{quote(_vhost(fleet), safe='')}/{quote(queue, safe='')}"
    told = await fleet.management.execute(("GET", f"{path}?msg_rates_age={_LATELY}&msg_rates_incr={_SAMPLED}"))
    if not isinstance(told, dict):
        return None
    rates = (told.get("message_stats") or {}).get("redeliver_details") or {}
    return float(rates.get("avg_rate") or 0.0)


def _vhost(fleet: Fleet) -> str:
    url = parse_broker(split_brokers(fleet.config.broker, fleet.config.multiple_broker_separator)[0])
    assert isinstance(url, AMQPURL)
    return url.vhost


def _circling(queue: str, rate: float) -> list[Finding]:
    if rate < _GIVEN_BACK:
        return []
    what = f"{rate:.0f} messages a second are given back and delivered again: some task here is registered by no worker"
    do = "see in the workers' logs which it is; register it, or send it to a queue of its own"
    return [Finding(PROBLEM, "circling", queue, what, do)]


async def _dead_text(fleet: Fleet, info: QueueInfo) -> str:
    try:
        letters = await fleet.broker.dead(info.name, 0, _DEAD_SAMPLE)
    except NotImplementedError as error:
        return f"{counted(info.dead, 'dead letter')} ({error})"
    reasons = "; ".join(brief(reason) or "no reason" for _, reason in letters)
    return f"{counted(info.dead, 'dead letter')}, the first: {reasons}"


async def _copies(fleet: Fleet, broker: AMQPBroker, report: Report) -> None:
    """Go declares a queue named like the binding key whenever it publishes to the default; nobody consumes it."""
    key = broker.settings.binding_key
    if key in report.queues or key == fleet.config.default_queue:
        return
    infos = await broker.queues([key])
    if infos and not infos[0].workers and (infos[0].waiting or 0) >= _COPIES:
        what = f"{infos[0].waiting} copies of tasks lie here: Go's senders make this queue, and nobody consumes it"
        purge = fleet.command("queue purge", key)
        do = f"set amqp.binding_key to the name of the default queue on every side; then {purge}"
        report.findings.append(Finding(WARNING, "copies", key, what, do))
