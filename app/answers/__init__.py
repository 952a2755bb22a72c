"""What becomes of many answers: columns, and the timeline of a video."""
