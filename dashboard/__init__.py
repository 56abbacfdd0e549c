"""The pages in the browser: asks the warehouse questions and draws the answers."""
