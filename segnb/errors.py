"""The one exception that is meant to be read by a user."""


class SegnbError(Exception):
    """A problem the user can mend: one line that names the file or parameter, what is wrong and the remedy.

    It is shown without a traceback.
    """
