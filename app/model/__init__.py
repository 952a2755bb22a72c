"""Loads the classifier and its card, runs it on one of two engines, and batches its input."""
