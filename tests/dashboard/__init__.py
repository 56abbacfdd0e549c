"""Tests of the dashboard: pure parts, and every page in every state."""
