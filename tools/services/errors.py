"""What can go wrong, for people to read."""


class ServicesError(Exception):
    """A service could not be started, stopped or found."""


class Unavailable(ServicesError):
    """Something that a service needs is missing, and cannot be installed from here."""
