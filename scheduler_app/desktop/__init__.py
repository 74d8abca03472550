"""The tray icon: it shows what the supervisor and the database say, and posts what is clicked to them."""

import os

from scheduler_app import platforms

# pystray chooses its back-end when it is first imported, and its own choice on Linux fails without a display.
os.environ.setdefault("PYSTRAY_BACKEND", platforms.pystray_backend())
