"""What is wrong with a Redis server itself, and with clocks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from gomachinery_py.doctor.findings import PROBLEM, WARNING, Finding, Fleet, time_text
from gomachinery_py.doctor.redis_look import QueueLook, RedisLook
from gomachinery_py.incoming import brief

__all__ = ["judge_clocks", "judge_server"]

_OLDEST: Final = (6, 2)
_FULL: Final = 0.9
_APART: Final = 2.0
_FAR_APART: Final = 30.0


def judge_clocks(fleet: Fleet, look: RedisLook) -> list[Finding]:
    """This machine's clock and those of senders, against the server's."""
    findings = []
    if abs(look.ahead) > _APART:
        way = "ahead of" if look.ahead > 0 else "behind"
        what = f"this machine's clock is {time_text(abs(look.ahead))} {way} the server's: delays come wrong by that"
        findings.append(Finding(_severity(look.ahead), "clocks", str(fleet.config.broker), what, _SET_CLOCK))
    return findings + [finding for queue in look.queues for finding in _senders(queue)]


_SET_CLOCK: Final = "let NTP set the clocks of all machines (timedatectl status)"


def _severity(seconds: float) -> str:
    return PROBLEM if abs(seconds) > _FAR_APART else WARNING


def _senders(queue: QueueLook) -> Sequence[Finding]:
    """Tasks that wait cannot have been sent after they were read."""
    uuid, created = max(queue.created.items(), key=lambda item: item[1], default=("", 0.0))
    ahead = created - queue.read_at
    if ahead <= _APART:
        return []
    what = f"{brief(uuid)} was sent {time_text(ahead)} from now: its sender's clock is ahead"
    return [Finding(_severity(ahead), "clocks", queue.name, what, _SET_CLOCK)]


def judge_server(fleet: Fleet, info: Mapping[str, str]) -> list[Finding]:
    """What ``INFO`` tells; nothing where it tells nothing."""
    where = str(fleet.config.broker)
    findings = []

    def problem(code: str, what: str, do: str) -> None:
        findings.append(Finding(PROBLEM, code, where, what, do))

    version = tuple(map(int, re.findall(r"\d+", info.get("redis_version", ""))[:2]))
    if version and version < _OLDEST:
        problem("server", f"Redis {info['redis_version']} has no LMOVE", "Python workers need Redis 6.2: upgrade it")
    if info.get("role") == "slave":
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        problem("server", f"this is a replica of {master}, which refuses writes", f"use the URL of {master}")
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    policy = info.get("maxmemory_policy", "noeviction")
    if most and policy.startswith("allkeys"):
        what = f"maxmemory-policy {policy} evicts whole queues when memory is short"
        problem("server", what, "redis-cli CONFIG SET maxmemory-policy volatile-ttl, and in redis.conf")
    elif most and used > _FULL * most:
        what = f"{used} of {most} bytes of memory are used; tasks are refused at the end of it"
        problem("server", what, "raise maxmemory, work off what waits, or let results expire sooner")
    for field, what in (
        ("rdb_last_bgsave_status", "the last snapshot"),
        ("aof_last_write_status", "the last log write"),
    ):
        if info.get(field, "ok") != "ok":
            problem("server", f"{what} failed, and Redis refuses writes then", "look at its log: is the disk full?")
    return findings
