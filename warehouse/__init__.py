"""The ground floor: the process that owns the DuckDB file, and its client."""

VERSION = "0.1.0"
