"""Watches Redis, and servers that speak its protocol, from outside over one connection."""
