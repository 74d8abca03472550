"""A pystray back-end for Linux that needs neither GTK nor X11: StatusNotifierItem and dbusmenu over D-Bus.

See freedesktop.org's StatusNotifierItem and Desktop Notifications specifications. One thread, that of `run()`, owns
the connection; every other thread posts to it.
"""

import contextlib
import os
import queue
import select
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jeepney import (
    DBusAddress,
    HeaderFields,
    MatchRule,
    Message,
    MessageType,
    new_error,
    new_method_call,
    new_method_return,
    new_signal,
)
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from PIL import Image
from pystray import _base

from scheduler_app.desktop.dbus_interfaces import INTROSPECTION
from scheduler_app.desktop.dbus_menu import NODE, MenuTree

PROPERTIES = "org.freedesktop.DBus.Properties"
ITEM, ITEM_PATH = "org.kde.StatusNotifierItem", "/StatusNotifierItem"
MENU, MENU_PATH = "com.canonical.dbusmenu", "/MenuBar"
WATCHER_NAME = "org.kde.StatusNotifierWatcher"
WATCHER = DBusAddress("/StatusNotifierWatcher", WATCHER_NAME, WATCHER_NAME)
NOTIFIER_NAME = "org.freedesktop.Notifications"
NOTIFIER = DBusAddress("/org/freedesktop/Notifications", NOTIFIER_NAME, NOTIFIER_NAME)
SIZES = (16, 22, 32, 44, 64)
"""Pixels: panels choose the one that fits, 44 and 64 on displays of high density."""
UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
INVALID_ARGUMENTS = "org.freedesktop.DBus.Error.InvalidArgs"
UNKNOWN_PROPERTY = "org.freedesktop.DBus.Error.UnknownProperty"
Reply = tuple[str, tuple[Any, ...]]
"""Signature and body of an answer."""


_NOTHING_TO_SAY: Mapping[str, Reply] = {
    "AboutToShow": ("b", (False,)),  # the menu is up to date
    "AboutToShowGroup": ("aiai", ([], [])),
    "Event": ("", ()),
    "EventGroup": ("ai", ([],)),
}


class Icon(_base.Icon):  # type: ignore[misc]  # pystray has no types
    """Made by the thread that later calls `run()`; raises OSError or RuntimeError without a session bus."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connection: DBusConnection = open_dbus_connection("SESSION")
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._tree = MenuTree()
        self._pixmaps: list[tuple[int, int, bytes]] = []
        self._alive = True
        self._answers: dict[int, Callable[[Message], None]] = {}
        self._clicks: dict[int, Callable[[], None]] = {}
        self.on_host: Callable[[bool], None] = lambda _there: None
        """Called when a panel that shows icons has come, or is found missing; set before `run()`."""

    def notify_with_click(self, message: str, title: str, clicked: Callable[[], None] | None) -> None:
        """Show a notification; *clicked* is called when the person clicks it."""

        def show() -> None:
            actions = ["default", "Open"] if clicked is not None else []
            body: tuple[Any, ...] = (self.title or self.name, 0, "", title, message, actions, {}, -1)
            self._call(new_method_call(NOTIFIER, "Notify", "susssasa{sv}i", body), remember)

        def remember(reply: Message) -> None:
            if clicked is not None and reply.header.message_type is MessageType.method_return:
                self._clicks[reply.body[0]] = clicked

        self._post(show)

    # What pystray asks of a back-end; from any thread.

    def _show(self) -> None:
        self._post(self._register)

    def _hide(self) -> None:
        self._post(lambda: self._signal("NewStatus", "s", ("Passive",)))

    def _update_icon(self) -> None:
        self._icon_valid = True
        pixmaps = [_pixmap(self.icon, size) for size in SIZES]

        def show() -> None:
            self._pixmaps = pixmaps
            self._signal("NewIcon")

        self._post(show)

    def _update_title(self) -> None:
        def tell() -> None:
            self._signal("NewTitle")
            self._signal("NewToolTip")

        self._post(tell)

    def _update_menu(self) -> None:
        self._post(self._rebuild)

    def _notify(self, message: str, title: str | None = None) -> None:
        self.notify_with_click(message, title or self.title, None)

    def _remove_notification(self) -> None:
        """Leave it: it goes by itself, and the person may still want to click it."""

    def _stop(self) -> None:
        def end() -> None:
            self._alive = False

        self._post(end)

    def _run(self) -> None:
        try:
            for name in (WATCHER_NAME, NOTIFIER_NAME):
                self._watch_owner(name)
            self._watch_clicks()
            self._mark_ready()
            while self._alive:
                readable, _, _ = select.select([self._connection.sock, self._wake_read], [], [])
                if self._wake_read in readable:
                    os.read(self._wake_read, 4096)
                    self._work_off()
                if self._connection.sock in readable:
                    self._receive_all()
        except ConnectionError:
            self._log.info("the session's bus has gone, and the session with it")
        finally:
            self._running = False
            self._connection.close()

    # In the thread of run().

    def _post(self, action: Callable[[], None]) -> None:
        self._posted.put(action)
        with contextlib.suppress(BlockingIOError):  # full: it is awake
            os.write(self._wake_write, b"x")

    def _work_off(self) -> None:
        with contextlib.suppress(queue.Empty):
            while self._alive:
                self._posted.get_nowait()()

    def _receive_all(self) -> None:
        with contextlib.suppress(TimeoutError):
            while self._alive:
                self._take(self._connection.receive(timeout=0))

    def _watch_owner(self, name: str) -> None:
        rule = MatchRule(
            type="signal", interface="org.freedesktop.DBus", member="NameOwnerChanged", path="/org/freedesktop/DBus"
        )
        rule.add_arg_condition(0, name)
        self._call(message_bus.AddMatch(rule))

    def _watch_clicks(self) -> None:
        self._call(message_bus.AddMatch(MatchRule(type="signal", interface=NOTIFIER_NAME)))

    def _register(self) -> None:
        def registered(reply: Message) -> None:
            self.on_host(reply.header.message_type is MessageType.method_return)

        call = new_method_call(WATCHER, "RegisterStatusNotifierItem", "s", (self._connection.unique_name,))
        self._call(call, registered)

    def _rebuild(self) -> None:
        if self._tree.show(self.menu):
            self._signal("LayoutUpdated", "ui", (self._tree.revision, 0), path=MENU_PATH, interface=MENU)

    def _signal(
        self,
        name: str,
        signature: str = "",
        body: tuple[Any, ...] = (),
        *,
        path: str = ITEM_PATH,
        interface: str = ITEM,
    ) -> None:
        self._connection.send(new_signal(DBusAddress(path, interface=interface), name, signature or None, body))

    def _call(self, message: Message, answered: Callable[[Message], None] = lambda _: None) -> None:
        serial = next(self._connection.outgoing_serial)
        self._answers[serial] = answered
        self._connection.send(message, serial=serial)

    def _take(self, message: Message) -> None:
        fields = message.header.fields
        kind = message.header.message_type
        if kind in {MessageType.method_return, MessageType.error}:
            self._answers.pop(fields.get(HeaderFields.reply_serial), lambda _: None)(message)
        elif kind is MessageType.signal:
            self._take_signal(str(fields.get(HeaderFields.member)), message.body)
        elif kind is MessageType.method_call:
            self._take_call(message, str(fields.get(HeaderFields.interface)), str(fields.get(HeaderFields.member)))

    def _take_signal(self, member: str, body: Sequence[Any]) -> None:
        if member == "NameOwnerChanged" and body[0] == WATCHER_NAME:
            if body[2]:  # a panel has come, or has come back
                if self.visible:
                    self._register()
            else:
                self.on_host(False)
        elif member == "ActionInvoked":
            self._clicks.pop(body[0], lambda: None)()
        elif member == "NotificationClosed":
            self._clicks.pop(body[0], None)

    def _take_call(self, message: Message, interface: str, member: str) -> None:
        body = message.body
        try:
            signature, answer = self._answer(interface, member, body)
        except LookupError as error:
            name = UNKNOWN_PROPERTY if interface == PROPERTIES else UNKNOWN_METHOD
            self._connection.send(new_error(message, name, "s", (str(error),)))
            return
        except (TypeError, ValueError, AttributeError) as error:  # arguments that are not what the interface says
            self._log.warning("cannot answer %s.%s%r: %s", interface, member, body, error)
            self._connection.send(new_error(message, INVALID_ARGUMENTS, "s", (str(error),)))
            return
        self._connection.send(new_method_return(message, signature or None, answer))
        # After the answer: a panel waits for it, and does not have to wait for what is clicked.
        if interface == MENU and member == "Event":
            self._clicked(body[0], body[1])
        elif interface == MENU and member == "EventGroup":
            for number, event, *_ in body[0]:
                self._clicked(number, event)
        elif interface == ITEM and member == "Activate":
            self()

    def _clicked(self, number: int, event: str) -> None:
        item = self._tree.item(number) if event == "clicked" else None
        if item is not None:
            self._handler(item)()

    def _answer(self, interface: str, member: str, body: Sequence[Any]) -> Reply:
        """Return the reply to a call; raises LookupError for what there is not."""
        if interface == PROPERTIES:
            return self._properties(member, body)
        if member == "Introspect":
            return "s", (INTROSPECTION,)
        if interface == ITEM and member in {"Activate", "SecondaryActivate", "ContextMenu", "Scroll"}:
            return "", ()
        if interface == MENU:
            return self._answer_for_menu(member, body)
        raise LookupError(f"there is no {interface}.{member}")

    def _answer_for_menu(self, member: str, body: Sequence[Any]) -> Reply:
        if member == "GetLayout":
            return f"u{NODE}", (self._tree.revision, self._tree.layout(body[0], body[1], body[2]))
        if member == "GetGroupProperties":
            return "a(ia{sv})", (self._tree.properties(body[0], body[1]),)
        if member == "GetProperty":
            return "v", (self._tree.node(body[0])[1][body[1]],)
        return _NOTHING_TO_SAY[member]

    def _properties(self, member: str, body: Sequence[Any]) -> Reply:
        known = self._of_menu() if body[0] == MENU else self._of_item()
        if member == "Get":
            return "v", (known[body[1]],)
        if member == "GetAll":
            return "a{sv}", (dict(known),)
        raise LookupError(f"there is no {PROPERTIES}.{member} here")

    def _of_menu(self) -> Mapping[str, tuple[str, Any]]:
        return {
            "Version": ("u", 3),
            "Status": ("s", "normal"),
            "TextDirection": ("s", "ltr"),
            "IconThemePath": ("as", []),
        }

    def _of_item(self) -> Mapping[str, tuple[str, Any]]:
        return {
            "Category": ("s", "ApplicationStatus"),
            "Id": ("s", self.name),
            "Title": ("s", self.title),
            "Status": ("s", "Active"),
            "WindowId": ("i", 0),
            "IconName": ("s", ""),
            "IconThemePath": ("s", ""),
            "IconPixmap": ("a(iiay)", self._pixmaps),
            "OverlayIconName": ("s", ""),
            "AttentionIconName": ("s", ""),
            "ToolTip": ("(sa(iiay)ss)", ("", [], self.title, "")),
            "ItemIsMenu": ("b", False),
            "Menu": ("o", MENU_PATH),
        }


def _pixmap(image: Image.Image, size: int) -> tuple[int, int, bytes]:
    """Return *image* as the item's IconPixmap wants it: ARGB, 32 bits, in network byte order."""
    red, green, blue, alpha = image.convert("RGBA").resize((size, size), Image.Resampling.LANCZOS).split()
    return size, size, Image.merge("RGBA", (alpha, red, green, blue)).tobytes()
