"""pystray's icon where PyGObject and an AppIndicator library are there, made safe."""

import logging
from collections.abc import Callable
from typing import Any

from pystray._appindicator import Icon as AppIndicatorIcon

logger = logging.getLogger(__name__)


class Icon(AppIndicatorIcon):  # type: ignore[misc]  # pystray has no types
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.on_host: Callable[[bool], None] = lambda _there: None
        self.on_session_end: Callable[[], None] = lambda: None

    def notify_with_click(self, message: str, title: str, _clicked: Callable[[], None] | None) -> None:
        """Show it; pystray's notifications have no click."""
        self.notify(message, title)

    def _finalize(self) -> None:
        try:
            super()._finalize()
        except Exception:
            logger.debug("cannot take the notification back", exc_info=True)
