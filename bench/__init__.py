"""Measurements of the service beside a textbook implementation, in one run on one machine."""
