"""A broker with moods, and the publisher that talks to it in place of RabbitMQ's."""

from datetime import datetime, timedelta

from jobs import dispatcher
from jobs.publisher import BrokerUnavailable, Receipt

SEND_TWICE_AFTER: timedelta = dispatcher.TAKEN_FOR
MOODS = ("fine", "fine", "fine", "away", "nacks", "loses confirms", "loses messages", "duplicates")


class Broker:
    def __init__(self, chance) -> None:
        self.chance = chance
        self.mood = "fine"
        self.queue: list[tuple[int, int]] = []
        self.taken_over: set[int] = set()

    def deliver(self) -> tuple[int, int]:
        """Hand out a message, in any order; some come again."""
        index = self.chance.randrange(len(self.queue))
        if self.chance.random() < 0.1:
            return self.queue[index]
        return self.queue.pop(index)

    def accept(self, message: tuple[int, int]) -> None:
        self.taken_over.add(message[0])
        if self.mood == "loses messages" and self.chance.random() < 0.5:
            return
        self.queue.append(message)
        if self.mood == "duplicates":
            self.queue.append(message)


class FakePublisher:
    """Has the publisher's interface; one a dispatcher."""

    def __init__(self, world, slot) -> None:
        self._world = world
        self._slot = slot

    def publish(self, shipments) -> Receipt:
        world, broker, activity = self._world, self._world.broker, self._slot.activity
        messages = [(shipment.message.run_id, shipment.message.attempt) for shipment in shipments]
        activity.sending = [run_id for run_id, _ in messages]
        for run_id, _ in messages:
            self._check_alone(run_id, activity.now)
        world.may_pause(activity)
        if broker.mood == "away":
            for message in messages:
                if broker.chance.random() < 0.2:
                    broker.accept(message)
            self._done(messages)
            raise BrokerUnavailable("the simulated broker is away")
        refused = {}
        for message in messages:
            if broker.mood == "nacks" and broker.chance.random() < 0.5:
                refused[message[0]] = "the broker refused the message; it is sent again"
            else:
                broker.accept(message)
        if broker.mood == "loses confirms":
            self._done(messages)
            raise BrokerUnavailable("the simulated broker did not confirm in time")
        world.log(f"  {self._slot.name} published {[run_id for run_id, _ in messages if run_id not in refused]}")
        world.may_pause(activity)
        self._done(messages)
        return Receipt([run_id for run_id, _ in messages if run_id not in refused], refused)

    def _check_alone(self, run_id: int, now: datetime) -> None:
        """Two dispatchers may send one run only when the first has held it for longer than it may."""
        world = self._world
        other = world.sending.get(run_id)
        note_late(world, self._slot.activity)
        together = other is not None and not other[0].over and abs(now - other[1]) < SEND_TWICE_AFTER
        if together and run_id not in world.sent_late:
            world.violated(f"run {run_id} is sent by {other[0]} and at the same time by {self._slot.name}")
        world.sending[run_id] = (self._slot.activity, now)

    def _done(self, messages) -> None:
        for run_id, _ in messages:
            self._world.sending.pop(run_id, None)


def note_late(world, activity) -> None:
    """A dispatcher that stood still for longer than its lease also overwrites the lease of whoever came after it."""
    if abs(world.clock - activity.now) >= SEND_TWICE_AFTER:
        world.sent_late.update(activity.sending)
