"""What nnx refuses, each with the exit status that the command line gives it.

NnxError
├── InputError          wrong usage, settings, data or files; a ValueError too
├── BackendError        a backend that cannot be used
│   ├── UnknownBackendError
│   ├── MissingLibraryError
│   └── UnusableBackendError
├── DivergedError       the loss is no longer finite
└── OutOfMemoryError    the device or the host has no room
"""


class NnxError(Exception):
    """The root; its message is one line that says what is wrong and what to do."""

    exit_status = 2


class InputError(NnxError, ValueError):
    """Settings, data or files that cannot be used.

    Where a ValueError of others is caught, this one goes first, and on as it is.
    """


class BackendError(NnxError):
    """A backend that cannot be used."""


class UnknownBackendError(BackendError):
    """No installed package offers a backend of this name."""


class MissingLibraryError(BackendError):
    """The backend is known, but its array library is not installed."""


class UnusableBackendError(BackendError):
    """The backend's library is installed, but cannot work here, or no longer can."""


class DivergedError(NnxError):
    """The loss is no longer a finite number."""

    exit_status = 3


class OutOfMemoryError(NnxError):
    """The device or the host has no room for what was asked."""

    exit_status = 4
