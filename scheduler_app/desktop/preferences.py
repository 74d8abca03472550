"""What the person chose in the tray's menu, kept in tray.json below the data folder."""

import json
from pathlib import Path


class Preferences:
    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def notifies(self) -> bool:
        """Whether notifications are shown; True where nothing, or nothing that can be read, is kept."""
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return True
        return not (isinstance(kept, dict) and kept.get("notifications") is False)

    @notifies.setter
    def notifies(self, wanted: bool) -> None:
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps({"notifications": wanted}), encoding="utf-8")
        draft.replace(self._file)
