"""pystray's icon on Windows, made safe: it never keeps anybody from logging off, and its menu never freezes."""

from collections.abc import Callable
from typing import Any

from pystray._util import win32
from pystray._win32 import Icon as Win32Icon

WM_QUERYENDSESSION, WM_ENDSESSION = 0x0011, 0x0016
NIN_BALLOONUSERCLICK = 0x0405
"""In lparam of the icon's own message (shellapi.h): the notification was clicked."""


class Icon(Win32Icon):  # type: ignore[misc]  # pystray has no types
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.on_host: Callable[[bool], None] = lambda _there: None
        self.on_session_end: Callable[[], None] = lambda: None
        self._menu_handle: tuple[Any, list[Any]] | None = None
        self._clicked: Callable[[], None] | None = None
        # pystray answers 0 to what it does not know, and 0 to WM_QUERYENDSESSION vetoes the log-off.
        self._message_handlers |= {WM_QUERYENDSESSION: lambda _w, _l: 1, WM_ENDSESSION: self._on_end_session}

    def notify_with_click(self, message: str, title: str, clicked: Callable[[], None] | None) -> None:
        self._clicked = clicked
        self.notify(message, title)

    def _on_end_session(self, wparam: int, _lparam: int) -> int:
        if wparam:  # 0: somebody else has stopped the log-off
            self.on_session_end()
        return 0

    def _update_menu(self) -> None:
        # pystray destroys the menu from whatever thread asks, also while it is open, which freezes it. It is made
        # below, in the thread of the window and just before it opens; any handle will do until then.
        if self._menu_handle is None:
            self._menu_handle = (win32.CreatePopupMenu(), [])

    def _on_notify(self, wparam: int, lparam: int) -> Any:
        if lparam == NIN_BALLOONUSERCLICK and self._clicked is not None:
            self._clicked()
        if lparam == win32.WM_RBUTTONUP:
            super()._update_menu()
        return super()._on_notify(wparam, lparam)
