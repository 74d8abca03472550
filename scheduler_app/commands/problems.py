"""What a verb cannot do."""

from typing import ClassVar

PROBLEM = 1
NOT_RUNNING = 3
GOES_ON = 4


class CommandProblem(Exception):  # noqa: N818 - reads as what it says
    """A verb cannot do what it was asked; str() says what, why and what to do, *code* is what the shell gets."""

    code: ClassVar[int] = PROBLEM


class NobodyWorksError(CommandProblem):
    """It takes a running scheduler, and none runs."""

    code = NOT_RUNNING


class StillGoingOnError(CommandProblem):
    """The time that somebody wanted to wait is over, and the run is not."""

    code = GOES_ON
