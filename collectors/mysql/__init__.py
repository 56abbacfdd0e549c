"""Watches MySQL 8 and MariaDB from outside over one connection."""
