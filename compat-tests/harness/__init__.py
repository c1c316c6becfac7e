"""What the compatibility tests run against: real Redis servers, Go workers and producers, recorders.

Everything listens on 127.0.0.1, on a free port, belongs to the test that asked for it and is stopped with it.
"""
