"""The scheduled daemon: probes endpoints, samples the host, spools what it measured and ships it."""
