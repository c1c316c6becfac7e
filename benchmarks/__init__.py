"""Ratios against Go Machinery, each in one interleaved run; never part of the tests."""
