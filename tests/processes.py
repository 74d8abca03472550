"""Which processes are there, and which are gone."""

import psutil


def family(pid: int) -> list[psutil.Process]:
    """Return everything that the process *pid* has started, and what that has."""
    return psutil.Process(pid).children(recursive=True)


def is_gone(process: psutil.Process | int) -> bool:
    """Tell whether a process has ended; one that its parent has not asked about yet (a zombie) has."""
    try:
        found = psutil.Process(process) if isinstance(process, int) else process
        return not found.is_running() or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
