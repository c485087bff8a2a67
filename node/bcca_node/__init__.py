"""One organisation's node: it signs, publishes, fetches, verifies and adds up footprints."""

__version__ = "0.5.0"
