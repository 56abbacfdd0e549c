"""Repeatable measurements side by side in one run; `python -m bench` writes bench/results.md."""
