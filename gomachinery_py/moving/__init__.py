"""Moving, keeping, repeating and copying what waits in queues and what is stored of tasks. No I/O of its own."""
