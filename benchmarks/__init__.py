"""Measurements that are run by hand: `python -m benchmarks.throughput`. docs/research/ explains their results."""
