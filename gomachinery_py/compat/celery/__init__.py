"""Celery's names on Machinery's wire: a program moves by changing its imports.

``from celery import …`` becomes ``from gomachinery_py.compat.celery import …``, and so for ``celery.result``,
``celery.exceptions``, ``celery.schedules`` and ``celery.utils.log``. What means the same is the same; what Machinery
cannot say is refused with :class:`~gomachinery_py.compat.celery.exceptions.CeleryDifference`, before anything is sent.
The differences that remain are in ``docs/celery.md``.
"""

from gomachinery_py.compat.celery.app import Celery, shared_task
from gomachinery_py.compat.celery.canvas import Signature, chain, chord, chunks, group, signature
from gomachinery_py.compat.celery.current import current_app, current_task
from gomachinery_py.compat.celery.result import AsyncResult, GroupResult
from gomachinery_py.compat.celery.task import Task

subtask = signature

__all__ = [
    "AsyncResult",
    "Celery",
    "GroupResult",
    "Signature",
    "Task",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "shared_task",
    "signature",
    "subtask",
]
