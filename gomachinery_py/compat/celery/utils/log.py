"""``celery.utils.log``: loggers of tasks are loggers like any other."""

from __future__ import annotations

import logging

__all__ = ["get_task_logger"]


def get_task_logger(name: str) -> logging.Logger:
    """A logger for a module of tasks."""
    return logging.getLogger(name)
