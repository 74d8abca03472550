"""One icon for all systems: what the tray shows goes in, what is clicked comes out as commands."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from pystray import Menu, MenuItem

from scheduler_app import platforms
from scheduler_app.desktop.drawing import draw
from scheduler_app.desktop.menu import Command, Entry
from scheduler_app.desktop.news import News
from scheduler_app.desktop.observation import Look
from scheduler_app.desktop.wording import NAME

logger = logging.getLogger(__name__)

SIZE = 64
LONGEST_TOOLTIP = 127
"""Characters that Windows takes (NOTIFYICONDATAW.szTip)."""
Post = Callable[[Command], None]


class NoDesktopError(Exception):
    """There is nothing here that could show an icon; str() says why and what to do."""


class TrayIcon:
    """Changes the system's icon only where what it shows has changed. For one thread, beside the one in `run()`."""

    def __init__(self, post: Post, on_host: Callable[[bool], None], on_session_end: Callable[[], None]) -> None:
        """*on_host* learns whether a panel shows the icon, *on_session_end* that the person logs off."""
        self._post = post
        self._shown: tuple[Look, str, Sequence[Entry | None]] | None = None
        try:
            self._icon = _backend()(
                "scheduler-app", icon=draw(Look.STOPPED, SIZE), title=NAME, menu=Menu(MenuItem(NAME, None))
            )
        except (OSError, RuntimeError, KeyError) as error:
            raise NoDesktopError(
                f"cannot show a tray icon: this session has no desktop that shows one ({error}); "
                "`scheduler-app open` opens the admin without it"
            ) from error
        self._icon.on_host = on_host
        self._icon.on_session_end = on_session_end

    def run(self, ready: Callable[[], None]) -> None:
        """Show the icon until `stop()`; to be called in the main thread. *ready* is called once it is there."""

        def setup(icon: Any) -> None:
            icon.visible = True
            ready()

        self._icon.run(setup)

    def stop(self) -> None:
        self._icon.stop()

    def show(self, look: Look, tooltip: str, entries: Sequence[Entry | None]) -> None:
        before = self._shown
        if before is None or before[0] is not look:
            self._icon.icon = draw(look, SIZE)
        if before is None or before[1] != tooltip:
            self._icon.title = tooltip[:LONGEST_TOOLTIP]
        if before is None or before[2] != entries:
            self._icon.menu = Menu(*(self._item(entry) for entry in entries))
        self._shown = look, tooltip, entries

    def notify(self, news: News) -> None:
        command = news.command
        clicked = None if command is None else partial(self._post, command)
        try:
            self._icon.notify_with_click(news.text, news.title, clicked)
        except OSError as error:
            logger.warning("cannot show a notification (%s): %s: %s", error, news.title, news.text)

    def _item(self, entry: Entry | None) -> MenuItem:
        if entry is None:
            return Menu.SEPARATOR
        item = MenuItem(
            entry.label,
            Menu(*(self._item(child) for child in entry.children)) if entry.children else self._action(entry),
            checked=None if entry.checked is None else lambda _item: bool(entry.checked),
            default=entry.default,
            enabled=entry.enabled,
        )
        # What tells items apart whose texts are the same, see dbus_menu.
        item.__name__ = entry.label if entry.command is None else f"{entry.command.verb} {entry.command.subject}"
        return item

    def _action(self, entry: Entry) -> Callable[[], None] | None:
        return None if entry.command is None else lambda: self._post(entry.command)  # type: ignore[arg-type]


def _backend() -> Any:
    """Return the class of this system's icon; raise OSError or RuntimeError where there is none."""
    name = {"win32": "windows_icon", "darwin": "macos_icon"}.get(platforms.pystray_backend())
    if name is None:
        name = "appindicator_icon" if _has_appindicator() else "status_notifier"
    return import_module(f"scheduler_app.desktop.{name}").Icon


def _has_appindicator() -> bool:
    try:
        import_module("pystray._appindicator")
    except (ImportError, ValueError):  # no PyGObject, no library of that name, or no display for GTK
        return False
    return True
