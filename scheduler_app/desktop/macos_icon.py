"""pystray's icon on macOS, made safe: AppKit is touched in the main thread only."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from AppKit import NSThread
from PyObjCTools import AppHelper
from pystray._darwin import Icon as DarwinIcon


def in_main_thread(method: Callable[..., None]) -> Callable[..., None]:
    """Have *method* run in the main thread: at once when it is this one, else as soon as that comes round to it."""

    @wraps(method)
    def moved(self: Any, *arguments: Any) -> None:
        if NSThread.isMainThread():
            method(self, *arguments)
        else:
            AppHelper.callAfter(method, self, *arguments)

    return moved


class Icon(DarwinIcon):  # type: ignore[misc]  # pystray has no types
    # pystray's names for what a back-end does.
    _show = in_main_thread(DarwinIcon._show)  # noqa: SLF001
    _hide = in_main_thread(DarwinIcon._hide)  # noqa: SLF001
    _update_icon = in_main_thread(DarwinIcon._update_icon)  # noqa: SLF001
    _update_title = in_main_thread(DarwinIcon._update_title)  # noqa: SLF001
    _update_menu = in_main_thread(DarwinIcon._update_menu)  # noqa: SLF001
    _stop = in_main_thread(DarwinIcon._stop)  # noqa: SLF001

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.on_host: Callable[[bool], None] = lambda _there: None
        self.on_session_end: Callable[[], None] = lambda: None

    def notify_with_click(self, message: str, title: str, _clicked: Callable[[], None] | None) -> None:
        """Show it; what macOS shows for a script cannot be clicked."""
        self.notify(message, title)
