"""Back-ups of the embedded store and of media, and the way back (docs/operations.md, "Back-up")."""


class BackupError(Exception):
    """A back-up or a restore cannot be done, or was not. The text is for the operator."""
