"""Exit codes in words. Pure.

Sources: POSIX's shell (126, 127, 128 + signal), sysexits.h is left out, as hardly any program keeps to it; Windows'
NTSTATUS values are those that its loader and its console end programs with.
"""

import signal
from collections.abc import Mapping
from types import MappingProxyType

_KNOWN: Mapping[int, str] = MappingProxyType(
    {
        0: "all went well",
        1: "the program says that it failed",
        2: "the program was called in a way that it does not understand, or says that it failed",
        126: "the command was found and cannot be executed: is it a program, and may this user run it?",
        127: "the command was not found: is its path right, and is the program installed?",
        9009: "the command was not found: is its path right, and is the program installed?",
        0xC0000005: "the program crashed: it used memory that is not its own",
        0xC000001D: "the program crashed: it has an instruction that this processor does not know",
        0xC00000FD: "the program crashed: its stack was full",
        0xC0000135: "the program cannot start: a library (DLL) is missing",
        0xC0000142: "the program cannot start: one of its libraries (DLLs) failed",
        0xC000013A: "the program was ended by Ctrl-C, or its window was closed",
    }
)
# Numbers as Linux and macOS both have them; the others are told by their number.
_SIGNALS: Mapping[int, str] = MappingProxyType(
    {
        1: "its terminal went away (SIGHUP)",
        2: "ended by Ctrl-C (SIGINT)",
        3: "ended by a person at its terminal (SIGQUIT)",
        4: "the program crashed: an instruction that this processor does not know (SIGILL)",
        6: "the program gave up (SIGABRT)",
        8: "the program crashed: it divided by zero (SIGFPE)",
        9: "killed (SIGKILL): by somebody, by its time limit, or by the system because memory was short",
        11: "the program crashed: it used memory that is not its own (SIGSEGV)",
        13: "nobody read what it printed (SIGPIPE)",
        15: "asked to end (SIGTERM)",
    }
)
_FIRST_OF_SIGNALS = 128


def words(code: int) -> str:
    """Return what *code* means; empty where only its program knows."""
    if code in _KNOWN:
        return _KNOWN[code]
    number = code - _FIRST_OF_SIGNALS
    if number in _SIGNALS:
        return _SIGNALS[number]
    return f"ended by signal {number}" if 0 < number < signal.NSIG else ""
