"""The icon alone, in a process of its own: a menu, and a line on stdout for what is clicked."""

import sys
import threading

from scheduler_app.desktop.icons import NoDesktopError, TrayIcon
from scheduler_app.desktop.menu import Command, Entry, Verb
from scheduler_app.desktop.news import News
from scheduler_app.desktop.observation import Look


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main():
    try:
        icon = TrayIcon(
            lambda command: say(f"clicked {command.verb} {command.subject}"),
            lambda there: say("host is there" if there else "host is missing"),
            lambda: say("session ends"),
        )
    except NoDesktopError as error:
        sys.exit(str(error))

    def follow_orders():
        for line in sys.stdin:
            order, _, subject = line.strip().partition(" ")
            if order == "look":
                icon.show(Look(subject), f"is {subject}", entries(subject))
            if order == "notify":
                icon.notify(News("A title", subject, Command(Verb.OPEN_RUN, "9")))
        icon.stop()

    icon.run(lambda: threading.Thread(target=follow_orders, daemon=True).start())
    say("ended")


def entries(look):
    return (
        Entry("Open admin", Command(Verb.OPEN_ADMIN), default=True),
        None,
        Entry(f"State: {look}", enabled=False),
        Entry("my_jobs", children=[Entry("Same", Command(Verb.CANCEL, "1")), Entry("Same", Command(Verb.CANCEL, "2"))]),
        Entry("Notifications", Command(Verb.NOTIFY), checked=look == "running"),
        *([Entry("Only while running", Command(Verb.STOP_ALL))] if look == "running" else []),
    )


if __name__ == "__main__":
    main()
