"""The worker: takes messages, runs tasks, stops gracefully."""

from gomachinery_py.worker.worker import Worker

__all__ = ["Worker"]
