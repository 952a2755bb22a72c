"""Decodes pictures and videos, finds the faces in them, and draws the answers."""
