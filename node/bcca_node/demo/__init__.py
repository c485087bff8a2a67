"""A whole network on loopback: the demo, and the tests' network."""
