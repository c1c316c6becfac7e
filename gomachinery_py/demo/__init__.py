"""The embedded default: a Redis in this process, a worker, and a workflow that shows the main job."""
