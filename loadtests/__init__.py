"""Load tests: Locust as the engine, every request recorded, nothing lost."""
