"""Rules that the jobs which talk to other computers share."""

from datetime import timedelta

_HIGHEST = 65535


def check_port_number(port: int) -> None:
    """Raise ValueError for what is no port."""
    if not 1 <= port <= _HIGHEST:
        raise ValueError(f"a port is a whole number from 1 to {_HIGHEST}")


def check_some_time(timeout: timedelta) -> None:
    """Raise ValueError for no time at all."""
    if not timeout:
        raise ValueError("some time is needed, such as 10s")
