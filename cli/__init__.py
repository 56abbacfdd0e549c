"""What stands behind the commands: starting, status and the first configuration."""
