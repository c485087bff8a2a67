"""PACT 3.0.3: footprints served to, asked of and taken from systems that sign nothing."""
