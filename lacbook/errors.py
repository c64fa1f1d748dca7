"""The one exception that the command line turns into a line and exit code 2."""


class InputError(ValueError):
    """Something the user gave is missing, broken or of the wrong kind; the message names it and says what was expected."""
