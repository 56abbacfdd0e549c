"""A made-up history in a warehouse of its own, marked as simulated wherever it is shown."""
