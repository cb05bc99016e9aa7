"""The module ``opendtu``."""
