"""Run every case under Celery, or on Machinery, and print what came of each: ``celeryside.py celery|machinery``."""

import json
import sys
from contextlib import contextmanager

import cases
import tasks


@contextmanager
def working(side):
    """A worker of either kind in this process, one task at a time: what is noted comes in order."""
    if side == "machinery":
        with tasks.app.worker(1, ["machinery_tasks", "celery_other"]):
            yield
    else:
        from celery.contrib.testing.worker import start_worker

        queues = ["celery", "celery_other"]
        with start_worker(tasks.app, pool="solo", perform_ping_check=False, queues=queues, loglevel="critical"):
            yield


if __name__ == "__main__":
    wanted = sys.argv[2:] or list(cases.CASES)
    with working(sys.argv[1]):
        for name in wanted:
            try:
                outcome = cases.CASES[name]()
            except Exception as error:
                outcome = ["raised", type(error).__name__, str(error)]
            print(json.dumps([name, outcome], default=repr), flush=True)
