"""The service beside what people would pick instead: `python -m bench.peers`."""
