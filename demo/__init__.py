"""A sample invoice API on a real PostgreSQL: something to watch, slow down and break."""
