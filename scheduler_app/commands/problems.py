"""What a verb cannot do."""


class CommandProblem(Exception):  # noqa: N818 - reads as what it says
    """A verb cannot do what it was asked; str() says what, why and what to do."""
