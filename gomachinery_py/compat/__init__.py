"""Faces of other task queues on Machinery's wire."""
