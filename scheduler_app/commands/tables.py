"""What verbs show: status, failures and tables: aligned text for a file or a pipe, rich for a terminal."""

import sys
from collections.abc import Sequence
from typing import Any

Row = Sequence[str]

_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


def show_table(headings: Row, rows: Sequence[Row]) -> None:
    if not sys.stdout.isatty():
        print("\n".join(plain_table(headings, rows)), flush=True)  # noqa: T201
        return
    from rich.console import Console  # noqa: PLC0415  # only a terminal pays for it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # as it is: "[...]" would be markup
    Console().print(table)


def plain_table(headings: Row, rows: Sequence[Row]) -> list[str]:
    """Return lines with columns as wide as their widest cell."""
    cells = [headings, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def status_lines(snapshot: dict[str, Any]) -> list[str]:
    """Return what stands above the table of services."""
    lines = [
        f"State:    {snapshot['state']}",
        f"Admin:    {snapshot['url']}",
        f"Broker:   {snapshot['broker']['kind']} ({snapshot['broker']['reason']})",
        f"Database: {snapshot['database']}",
        f"Data:     {snapshot['data_folder']}",
        f"Version:  {snapshot['version']}, process {snapshot['pid']}",
    ]
    return [*lines, f"Problem:  {snapshot['problem']}"] if snapshot["problem"] else lines


def service_rows(snapshot: dict[str, Any], now: float) -> list[Row]:
    return [
        (
            service["name"],
            service["state"],
            str(service["pid"] or "-"),
            elapsed(now - service["since"]),
            str(service["restarts"]),
        )
        for service in snapshot["services"]
    ]


def failure_lines(snapshot: dict[str, Any]) -> list[str]:
    """Return a line for each failed service, followed by its last lines."""
    lines: list[str] = []
    for service in snapshot["services"]:
        if service["state"] == "failed":
            lines.append(f"Problem: {service['name']}: {service['reason']}")
            lines += [f"    {line}" for line in service["last_lines"]]
    return lines


def elapsed(seconds: float) -> str:
    """Return a duration in its largest unit: "3 min"."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
