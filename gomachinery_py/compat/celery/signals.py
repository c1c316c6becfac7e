"""``celery.signals``: refused one by one, since Machinery's workers and producers send none.

Importing one raises :class:`~gomachinery_py.compat.celery.exceptions.AbsentName`, which says what to write instead.
"""

from __future__ import annotations

from typing import Final

from gomachinery_py.compat.celery.exceptions import refusing

__all__: list[str] = []

_PUBLISH: Final = "write @app.server.set_pre_publish_handler, or an observer (gomachinery_py.observing)"
_WORKER: Final = "start app.server.worker(…) in a program of your own, with what belongs before and after it"
_LOGS: Final = "logging is left alone; set it up with the standard library"
_THREADS: Final = "plain tasks run on threads"

_INSTEAD: Final = {
    "task_prerun": "write @app.server.set_pre_task_handler, or before_start in a subclass of Task (base=…)",
    "task_postrun": "write @app.server.set_post_task_handler, or after_return in a subclass of Task (base=…)",
    "task_failure": "write @app.server.set_error_handler, or on_failure in a subclass of Task (base=…)",
    "task_success": "write on_success in a subclass of Task (base=…)",
    "task_retry": "write on_retry in a subclass of Task (base=…)",
    **dict.fromkeys(("before_task_publish", "after_task_publish"), _PUBLISH),
    **dict.fromkeys(
        ("task_received", "task_revoked", "task_rejected", "task_unknown", "task_internal_error"),
        "write an observer (gomachinery_py.observing), or look at the log",
    ),
    **dict.fromkeys(
        (
            *("celeryd_init", "celeryd_after_setup", "worker_init", "worker_ready", "worker_before_create_process"),
            *("worker_process_init", "worker_process_shutdown", "worker_shutting_down", "worker_shutdown"),
            "heartbeat_sent",
        ),
        _WORKER,
    ),
    **dict.fromkeys(("setup_logging", "after_setup_logger", "after_setup_task_logger"), _LOGS),
    **dict.fromkeys(("beat_init", "beat_embedded_init"), "start app.server.scheduler() in a program of your own"),
    **dict.fromkeys(
        (
            *("eventlet_pool_started", "eventlet_pool_preshutdown", "eventlet_pool_postshutdown"),
            "eventlet_pool_apply",
        ),
        _THREADS,
    ),
}

__getattr__ = refusing("celery.signals", _INSTEAD)
