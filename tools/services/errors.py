"""Errors, with texts for people."""


class ServicesError(Exception):
    """A service could not be started, stopped or found."""


class Unavailable(ServicesError):
    """A program that a service needs is missing, and cannot be installed from here."""
