"""Whether the broker still has what it was sent: a marker that is gone when the broker has been restarted or made anew.

A restart may cost messages, also confirmed ones: RabbitMQ 3.10 loses those of a quorum queue that is killed within
seconds of its making, and a store that cannot be repaired is replaced by an empty one. RabbitMQ drops a transient
message when it restarts and keeps it while only the connection is lost, so that a network that comes and goes
sends nothing twice.
"""

# mypy: allow-untyped-calls
# kombu says that it is typed and leaves most of its functions without annotations.

from typing import Any

from kombu.messaging import Producer

TRANSIENT = 1  # AMQP's delivery mode


class Marker:
    """A transient message in a queue that nobody reads, beside the queue of the runs."""

    def __init__(self, queue: str) -> None:
        self._name = f"{queue}.marker"

    def is_missing(self, channel: Any) -> bool:
        # Declared, not only looked for: a refused declaration would close the channel.
        declared = channel.queue_declare(
            queue=self._name,
            durable=True,
            auto_delete=False,
            arguments={"x-queue-type": "classic", "x-max-length": 1},
        )
        return bool(declared.message_count == 0)

    def put(self, channel: Any) -> None:
        Producer(channel, auto_declare=False).publish(
            "", exchange="", routing_key=self._name, delivery_mode=TRANSIENT, retry=False
        )

    def drop(self, channel: Any) -> None:
        channel.queue_delete(self._name)
