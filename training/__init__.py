"""Trains, evaluates and exports the expression classifier. The service never imports this package."""
