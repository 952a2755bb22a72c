"""The classifier: its card, its two engines and its batches. Knows no HTTP."""
