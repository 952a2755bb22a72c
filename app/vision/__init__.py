"""Pictures and the faces in them. Knows no HTTP, model or settings."""
