"""Watches PostgreSQL 14 and newer from outside, over one connection and, where asked for, a second."""
