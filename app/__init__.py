"""The facial-expression service."""

__version__ = "1.0.0"
