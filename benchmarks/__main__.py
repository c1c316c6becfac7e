"""``python -m benchmarks``: everything that README quotes, one table after another."""

from __future__ import annotations

from benchmarks import codec, throughput


def main() -> None:
    """Run all benchmarks."""
    codec.main()
    throughput.main()


if __name__ == "__main__":
    main()
