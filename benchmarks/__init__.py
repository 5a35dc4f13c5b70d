"""Measurements, run by hand: `python -m benchmarks.throughput`. docs/benchmarks.md says what they mean."""
