"""Devices that publish numbered messages to their brokers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from tests.simulation.announced import AnnouncedDevices
from tests.simulation.broker import ModelBroker
from tests.simulation.clock import SimClock
from tests.simulation.configuration import DEVICES, PORTS
from tests.simulation.ledger import Key, Ledger

__all__ = ["TOPICS", "Devices"]

_TOTAL: Final = "solar/ac/power"
TOPICS: Final = (
    *((module, f"{module}/x") for module in PORTS if len(module) == 1),
    ("opendtu", _TOTAL),
    *((module, f"tele/{name}/SENSOR") for module, names in DEVICES.items() for name in names),
)
"""Topics, each with the module that wants it."""
_ANNOUNCEMENT: Final = (
    '{"ip":"192.0.2.9","dn":"%s","fn":["%s",null],"hn":"h","mac":"%s","md":"Plug","ty":0,'
    '"if":0,"ofln":"Offline","onln":"Online","state":["OFF","ON","TOGGLE","HOLD"],"sw":"14.4.1",'
    '"t":"%s","ft":"%%prefix%%/%%topic%%/","tp":["cmnd","stat","tele"],"rl":[1,0],"so":{"4":0},"ver":1}'
)


class Devices:
    """See the module.

    Args:
        clock: of the simulation.
        brokers: by port.
        ledger: records what a broker accepted.

    Attributes:
        publishing: they keep publishing.
        quiet: they send nothing by themselves for now.
        announced: those that announce themselves to Home Assistant.
    """

    def __init__(self, clock: SimClock, brokers: Mapping[int, ModelBroker], ledger: Ledger) -> None:
        self._clock = clock
        self._random = clock.random
        self._brokers = brokers
        self._ledger = ledger
        self._macs: dict[tuple[str, str], str] = {}
        self._numbers: Counter[tuple[str, int]] = Counter()
        # The more they send, the fewer runs there are in a minute.
        self._rate = clock.random.choices((0.2, 1.0, 3.0, 10.0), (8, 8, 3, 1))[0]
        self._silent = clock.random.choice((0, 0, 0, 0, 60))
        self.publishing = True
        self.quiet = False
        self.announced = AnnouncedDevices(clock, brokers[PORTS["hadiscovery"]], ledger)

    def begin(self) -> None:
        """Publish from now on."""
        for module in PORTS:
            self._clock.later(self._random.random(), self._publish, module)

    def announce(self) -> None:
        """Publish retained announcements; some runs have many devices that send nothing else."""
        self.announced.announce()
        silent = [f"ds{number}" for number in range(self._silent)]
        for module, names in DEVICES.items():
            announced = [name for name in (*names, *silent) if name.startswith("d")]
            for number, name in enumerate(announced):
                self._macs[module, name] = f"A4CF{number:08X}"
                self._announce(module, name, f"Name_{name}")

    def rename(self, module: str) -> None:
        """Have one of a module's Tasmota devices announce another name."""
        name = self._random.choice([name for owner, name in self._macs if owner == module])
        self._announce(module, name, f"Name_{name}_{self._random.randrange(100)}")

    def _announce(self, module: str, name: str, friendly: str) -> None:
        broker, mac = self._brokers[PORTS[module]], self._macs[module, name]
        if broker.up:
            text = _ANNOUNCEMENT % (friendly, friendly, mac, name)
            broker.publish(f"tasmota/discovery/{mac}/config", text.encode(), 0, retain=True)

    def send(self, module: str, qos: int) -> None:
        """Publish the next number."""
        if module == "opendtu":
            self._send_total()
            return
        if module == "hadiscovery":
            device = self._random.choice(self.announced.devices)
            number = self._numbers[device.name, device.qos]
            self._numbers[device.name, device.qos] += 1
            self.announced.send(device, number)
            return
        topic, name = f"{module}/x", module
        if module in DEVICES:
            name = self._random.choice(DEVICES[module])
            topic, qos = f"tele/{name}/SENSOR", int(name[-1])
        number = self._numbers[name, qos]
        self._numbers[name, qos] += 1
        payload = b"%d:%d" % (qos, number)
        if module in DEVICES:
            payload = b'{"Time":"2026-01-01T00:00:00","ENERGY":{"Total":%d}}' % number
        broker = self._brokers[PORTS[module]]
        if broker.up and broker.publish(topic, payload, qos):
            self._ledger.sent[name, qos, number] = self._clock.now_s

    def next_number(self, module: str, qos: int) -> int:
        """Return what a test module is sent next."""
        return self._numbers[module, qos]

    @property
    def last_total(self) -> Key:
        """What was published last of those whose last one is written."""
        return "opendtu", 0, self._numbers["opendtu", 0]

    def have_subscribers(self) -> bool:
        """Say whether every module has subscribed to what its devices send."""
        return self.announced.have_subscribers() and all(
            self._brokers[PORTS[module]].has_subscriber(topic) for module, topic in TOPICS
        )

    def send_each(self) -> None:
        """Publish some numbers to each module."""
        for module in PORTS:
            for number in range(8):
                self.send(module, number % 2)

    def _send_total(self) -> None:
        # At QoS 0, as a DTU does; a burst of values gives one point, of the last ones.
        self._numbers["opendtu", 0] += 1
        number = self._numbers["opendtu", 0]
        broker = self._brokers[PORTS["opendtu"]]
        if broker.up:
            broker.publish(_TOTAL, b"%d" % number, 0)

    def _publish(self, module: str) -> None:
        if not self.publishing:
            return
        random = self._random
        if self.quiet:
            self._clock.later(random.random(), self._publish, module)
            return
        if module == "opendtu":
            self._send_total()
            self._clock.later(random.choice((0.1, 1.0, 5.0)), self._publish, module)
            return
        for _ in range(
            random.choice((1, 1, 1, 1, 1, 1, 2, 5, 40)) if random.random() > 0.01 else 600
        ):
            self.send(module, random.randint(0, 1))
        self._clock.later(random.expovariate(self._rate), self._publish, module)
