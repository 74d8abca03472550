"""Executes one run and nothing else, as a worker does: a process that a test may kill."""

import sys

import django


def main():
    django.setup()
    from jobs import executor

    executor.execute(int(sys.argv[1]), 1, worker="killed")


main()
