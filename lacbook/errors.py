"""The one exception that the command line turns into a line and exit code 2."""


class InputError(ValueError):
    """What the user gave is missing, broken or of the wrong kind; the message says what was expected."""
