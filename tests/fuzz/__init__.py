"""Random inputs for everything that strangers and servers send: `python -m tests.fuzz --minutes 10`."""
