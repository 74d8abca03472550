"""`python -m scheduler_app.web.server --port N`: the admin behind waitress, on this machine only unless configured."""

import argparse
import signal
import sys
from types import FrameType

from waitress.server import create_server

THREADS = 4


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scheduler_app.web.server", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="TCP port to listen on")
    port = parser.parse_args(arguments).port

    from django.conf import settings  # noqa: PLC0415 - reads the configuration, which --help does without

    from scheduler_app.wsgi import application  # noqa: PLC0415 - as above

    try:
        server = create_server(application, host=settings.SCHEDULER.web.host, port=port, threads=THREADS, ident=None)
    except OSError as error:
        print(f"cannot listen on {settings.SCHEDULER.web.host}:{port}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    from beat_config import secret_upkeep  # noqa: PLC0415 - needs the models, which are loaded by now

    secret_upkeep.start()
    signal.signal(signal.SIGTERM, _stop)
    # Ends the requests it is answering when the signal's SystemExit arrives in its loop.
    server.run()
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
