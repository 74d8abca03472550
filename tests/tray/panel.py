"""A desktop without pixels: a session bus of its own, with a panel that shows tray icons and takes notifications."""

import subprocess
import threading
from contextlib import contextmanager

from jeepney import (
    DBusAddress,
    HeaderFields,
    MessageType,
    Properties,
    new_error,
    new_method_call,
    new_method_return,
    new_signal,
)
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection

from tests.waiting import wait_until

WATCHER = "org.kde.StatusNotifierWatcher"
NOTIFIER = "org.freedesktop.Notifications"
ITEM = "org.kde.StatusNotifierItem"
MENU = "com.canonical.dbusmenu"
TIMEOUT = 15.0
ANSWERS = {
    "GetAll": ("a{sv}", ({"IsStatusNotifierHostRegistered": ("b", True), "ProtocolVersion": ("i", 0)},)),
    "GetCapabilities": ("as", (["body", "actions"],)),
    "GetServerInformation": ("ssss", ("panel", "tests", "1", "1.2")),
    "CloseNotification": (None, ()),
}


@contextmanager
def session_bus(environment=None):
    """Run a message bus as a desktop session has one; yield its address. What it starts gets its *environment*."""
    command = ["dbus-daemon", "--session", "--nofork", "--print-address=1"]
    daemon = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        with daemon.stdout:
            yield daemon.stdout.readline().strip()
    finally:
        daemon.kill()
        daemon.wait()


class Panel(threading.Thread):
    """Owns the names of a desktop's panel and notification service; remembers who registered and what was shown."""

    def __init__(self, bus):
        super().__init__(name="panel", daemon=True)
        self.items, self.notifications, self._closing = [], [], False
        self._connection = open_dbus_connection(bus)
        # The watcher's name last: icons register as soon as it has an owner.
        for name in (NOTIFIER, WATCHER):
            self._connection.send_and_get_reply(message_bus.RequestName(name, 4))
        self.start()

    def close(self):
        """Go away, as a panel that crashes does."""
        self._closing = True
        self.join()
        self._connection.close()

    def run(self):
        while not self._closing:
            try:
                message = self._connection.receive(timeout=0.05)
            except TimeoutError:
                continue
            if message.header.message_type is MessageType.method_call:
                self._connection.send(self._reply(message))

    def click(self, notification):
        """Click a notification that was shown, by its number."""
        address = DBusAddress("/org/freedesktop/Notifications", interface=NOTIFIER)
        self._connection.send(new_signal(address, "ActionInvoked", "us", (notification, "default")))

    def _reply(self, message):
        fields = message.header.fields
        member, sender = fields[HeaderFields.member], fields[HeaderFields.sender]
        if member == "RegisterStatusNotifierItem":
            (name,) = message.body
            # AppIndicator tells the object's path, others the bus name.
            self.items.append((sender, name) if name.startswith("/") else (name, "/StatusNotifierItem"))
            return new_method_return(message)
        if member == "Notify":
            _, _, _, title, text, actions, _, _ = message.body
            self.notifications.append((title, text, actions))
            return new_method_return(message, "u", (len(self.notifications),))
        if member == "Get":
            return new_method_return(message, "v", (ANSWERS["GetAll"][1][0][message.body[1]],))
        if member in ANSWERS:
            signature, body = ANSWERS[member]
            return new_method_return(message, signature, body)
        return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")


class ShownIcon:
    """What a person sees of a registered icon and its menu, and clicks by label."""

    def __init__(self, bus, item):
        name, path = item
        self._connection = open_dbus_connection(bus)
        self._item = DBusAddress(path, name, ITEM)
        self._menu = DBusAddress(self.value("Menu"), name, MENU)

    def close(self):
        self._connection.close()

    def value(self, name):
        return self._ask(Properties(self._item).get(name))[0][1]

    @property
    def tooltip(self):
        return self.value("Title")

    def picture(self):
        """Return the largest picture as bytes: different looks have different ones."""
        return self.value("IconPixmap")[-1][2]

    def labels(self, *path):
        """Return the labels below *path*, separators left out."""
        return [child["label"] for child in self.find(*path)["children"] if child["label"]]

    def find(self, *path):
        node = self._node(self._ask(new_method_call(self._menu, "GetLayout", "iias", (0, -1, [])))[1])
        for label in path:
            matching = [child for child in node["children"] if child["label"].startswith(label)]
            assert matching, f"no {label!r} in {[child['label'] for child in node['children']]}"
            node = matching[0]
        return node

    def wait_for(self, *path):
        """Return the entry under *path* as soon as there is one that begins so."""

        def there():
            try:
                return self.find(*path)
            except AssertionError:
                return None

        return wait_until(there, TIMEOUT, f"{' > '.join(path)} in the menu")

    def click(self, *path):
        entry = self.find(*path)
        assert entry["enabled"], f"{path} cannot be clicked"
        self.click_number(entry["number"])

    def click_number(self, number):
        self._ask(new_method_call(self._menu, "Event", "isvu", (number, "clicked", ("s", ""), 0)))

    def activate(self):
        """Click the icon itself."""
        self._ask(new_method_call(self._item, "Activate", "ii", (0, 0)))

    def _ask(self, message):
        reply = self._connection.send_and_get_reply(message, timeout=TIMEOUT)
        assert reply.header.message_type is MessageType.method_return, reply
        return reply.body

    def _node(self, node):
        number, properties, children = node
        values = {name: value for name, (_, value) in properties.items()}
        return {
            "number": number,
            "label": values.get("label", "").replace("__", "_"),
            "enabled": values.get("enabled", True),
            "checked": bool(values["toggle-state"]) if "toggle-type" in values else None,
            "children": [self._node(child) for _, child in children],
        }
