"""Measures the service and a textbook implementation, in one run on one machine."""
