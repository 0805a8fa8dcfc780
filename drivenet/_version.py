"""The version, for whoever needs it without the public names."""

__version__ = "0.2.0"
