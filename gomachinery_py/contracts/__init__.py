"""Contracts: one file that says what a fleet's tasks are called, take and return, in whatever language they are."""
