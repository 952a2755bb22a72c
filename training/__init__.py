"""Training, evaluation and export of the expression classifier. Never imported by the service."""
