"""What HTTP needs around the handlers: errors, keys, rates, timeouts, the log, metrics. Knows no vision."""
