"""Which examinations a fleet gets; the whole of ``gomachinery doctor`` but for its command line."""

from __future__ import annotations

from gomachinery_py.brokers.redis import RedisBroker
from gomachinery_py.doctor.counts import examine_counts
from gomachinery_py.doctor.findings import PROBLEM, Fleet, Report
from gomachinery_py.doctor.redis_findings import judge_redis
from gomachinery_py.doctor.redis_look import look_at_redis
from gomachinery_py.doctor.redis_server import judge_clocks, judge_server
from gomachinery_py.doctor.sides import judge_sides

__all__ = ["examine"]


async def examine(fleet: Fleet) -> Report:
    """Look at a fleet for ``fleet.watch`` seconds. Nothing is written. Raises ServiceUnavailable."""
    report = Report()
    report.findings += judge_sides(fleet.sides)
    if isinstance(fleet.broker, RedisBroker):
        look = await look_at_redis(fleet, fleet.broker)
        report.queues = [queue.name for queue in look.queues]
        report.limits = look.limits
        report.findings += judge_server(fleet, look.info)
        report.findings += judge_clocks(fleet, look)
        report.findings += judge_redis(fleet, fleet.broker, look)
    else:
        await examine_counts(fleet, report)
    report.findings.sort(key=lambda finding: finding.severity != PROBLEM)
    return report
