"""The facial-expression service."""

__version__ = "2.0.0"
