"""Each module has a connection of its own: what it has not looked at stays at the broker.

Numbered messages at QoS 1 while modules fail, start, are parked and reloaded, at real mosquittos.
"""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.case import QUIET, AgentCase, logged
from tests.integration.load import Load
from tests.integration.numbers import SLOW_S, numbers
from tests.integration.parent import SLOW
from tests.integration.watching import pause, until

A, B = "numbers:a", "numbers:b"
MANY = 50
CONNECTED = re.compile(r"New client connected from \S+ as (metrics-agent-\S+)")
MODULES = {"numbers": "tests.integration.numbers:MODULE"}
QUICK = 'restart_backoff_min = "1s"\nrestart_backoff_max = "1s"\n'


@with_both_mosquittos
class ModuleConnectionTests(AgentCase):
    """Two modules, of which one fails."""

    def setUp(self) -> None:
        super().setUp()
        self.moods = {name: self.directory / f"mood-{name[-1]}" for name in (A, B)}
        self.last = {A: 0, B: 0}

    def mood(self, module: str, mood: str) -> None:
        new = self.directory / "mood.new"
        new.write_text(mood)
        new.replace(self.moods[module])

    def both(self, broker: Mosquitto, *others: Mosquitto, top: str = QUICK, **more: str) -> str:
        """Return a configuration with both modules, ``b`` at the second broker if there is one."""
        text = top
        for name, where in ((A, broker), (B, others[0] if others else broker)):
            text += (
                f'[modules."{name}"]\nenabled = true\nbroker = "{where.url}"\n'
                f'topic = "{name}"\nmood = "{self.moods[name]}"\nreconnect_min = "100ms"\n'
                f"{more.get(name[-1], '')}\n"
            )
        return text

    async def running(self, *brokers: Mosquitto, **how: Any) -> tuple[Any, Load]:
        """Return an agent whose modules have got their first numbers, and what sends them."""
        self.configure(self.both(*brokers, **how))
        parent = self.parent(modules=MODULES, restart_delay_s=0.1)
        parent.start()
        await self.said(parent, "Started with modules")
        load = await Load.connect(self, brokers[0].port, devices=0)
        await until(
            lambda: all(f"\t{name} (QoS 1)" in brokers[0].log for name in (A, B)), "filters"
        )
        self.send(load, A, B)
        await self.got(parent, A, B)
        return parent, load

    def send(self, load: Load, *modules: str, count: int = MANY, qos: int = 1) -> None:
        """Send the next numbers to modules."""
        for _ in range(count):
            for module in modules:
                self.last[module] += 1
                load.publish(module, b"%d" % self.last[module], qos=qos)

    async def got(self, parent: Any, *modules: str) -> None:
        """Wait until modules have passed on all that was sent to them."""
        await until(
            lambda: all(self.missing(parent, module) == [] for module in modules),
            lambda: (
                f"{ {module: self.missing(parent, module) for module in modules} }"
                f"{logged(parent.log)}"
            ),
            40,
        )

    def missing(self, parent: Any, module: str) -> list[int]:
        """Return which numbers of a module have not come."""
        found = set(numbers(parent.lines(), module))
        return [number for number in range(1, self.last[module] + 1) if number not in found]

    # A module that does not run.

    async def test_a_module_that_waits_for_its_restart(self) -> None:
        """Its messages wait for the next instance; those of the other come all the time."""
        broker = Mosquitto.start(self)
        parent, load = await self.running(broker)
        self.mood(A, "fail")
        await self.said(parent, "Restart 1 in")
        self.mood(A, "")
        self.send(load, A, B)
        await self.got(parent, B)
        self.assertEqual(len(self.lines_with(parent, "Started again")), 0)
        await self.got(parent, A)
        self.assertEqual(numbers(parent.lines(), A), list(range(1, 2 * MANY + 1)))
        self.assertEqual(len(CONNECTED.findall(broker.log)), 2)

    async def test_a_module_that_fails_while_messages_come(self) -> None:
        """Whatever it does at the moment when it fails, nothing is lost."""
        broker = Mosquitto.start(self)
        parent, load = await self.running(broker, top=QUICK + "module_restart_limit = 0\n")
        for number in range(1, 4):
            self.mood(A, "fail")
            while len(self.lines_with(parent, f"Restart {number} in")) < 1:
                self.send(load, A, B, count=5)
                await pause(0.01)
            self.mood(A, "")
            self.send(load, A, B)
            await self.got(parent, A, B)
            await pause(1)

    async def test_a_module_that_does_not_start_at_a_reload(self) -> None:
        """Its messages wait until it does."""
        broker = Mosquitto.start(self)
        parent, load = await self.running(broker)
        self.mood(A, "fail to start")
        parent.signal_agent(signal.SIGHUP)
        self.send(load, A, B)
        await self.said(parent, "Reloaded")
        self.send(load, A, B)
        await self.got(parent, B)
        self.mood(A, "")
        await self.got(parent, A)
        self.assertEqual(len(CONNECTED.findall(broker.log)), 2)

    async def test_a_module_that_starts_slowly(self) -> None:
        """Its messages wait for the end of its start, in a reload too."""
        broker = Mosquitto.start(self)
        parent, load = await self.running(broker)
        self.mood(A, "slow")
        parent.signal_agent(signal.SIGHUP)
        for _ in range(20):
            self.send(load, A, B, count=5)
            await pause(SLOW_S / 5)
        await self.got(parent, A, B)

    async def parked(self, broker: Mosquitto, park: str) -> tuple[Any, Load]:
        """Return an agent whose module ``a`` has given up, with messages for it at the broker."""
        top = f'{QUICK}module_restart_limit = 1\npark_interval = "{park}"\n'
        parent, load = await self.running(broker, top=top)
        (a, _) = sorted(CONNECTED.findall(broker.log), key=lambda each: not self.is_of(each, A))
        self.mood(A, "fail to start")
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "Parked after too many restarts")
        await until(lambda: f"Received DISCONNECT from {a}" in broker.log, "the goodbye")
        self.send(load, A, B)
        await self.got(parent, B)
        self.assertEqual(len(self.missing(parent, A)), MANY)
        self.assertEqual(len(CONNECTED.findall(broker.log)), 2)
        self.mood(A, "")
        return parent, load

    def is_of(self, client_id: str, module: str) -> bool:
        """Say whether a client id is that of a module: its state has the module's filter."""
        path = self.directory / "state" / "mqtt" / f"{client_id}.json"
        return f'"{module}"' in path.read_text("ascii")

    async def test_a_parked_module(self) -> None:
        """Its connection ends in order, and at its next try it gets what the broker has kept."""
        broker = Mosquitto.start(self)
        parent, load = await self.parked(broker, "2s")
        await self.got(parent, A)
        self.send(load, A, B)
        await self.got(parent, A, B)
        names = CONNECTED.findall(broker.log)
        self.assertEqual((len(names), len(set(names))), (3, 2))

    async def test_a_parked_module_over_a_restart(self) -> None:
        """The next process gets it."""
        broker = Mosquitto.start(self)
        parent, _load = await self.parked(broker, "1h")
        await parent.stop()
        parent.start()
        await self.got(parent, A)

    # A connection that a reload ends.

    async def test_a_module_that_is_removed(self) -> None:
        """Its last acknowledgements go out before its connection ends: nothing comes twice."""
        broker = Mosquitto.start(self)
        parent, load = await self.running(broker)
        parent.freeze()
        self.send(load, A)
        await until(lambda: broker.log.count(f"'{A}'") >= 4 * MANY, "the messages")
        await pause(0.2)
        both = self.both(broker)
        self.configure(both.replace("enabled = true", "enabled = false", 1))
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "Reloaded")
        parent.thaw()
        await until(lambda: "Received DISCONNECT from" in broker.log, "the end")
        self.send(load, A)
        self.configure(both)
        parent.signal_agent(signal.SIGHUP)
        await self.got(parent, A)
        self.assertEqual(numbers(parent.lines(), A), list(range(1, self.last[A] + 1)))

    async def test_what_is_unread_when_settings_change(self) -> None:
        """The old instance of the module gets it, also at QoS 0."""
        broker = Mosquitto.start(self)
        parent, load = await self.running(broker)
        for times, keepalive in ((2, 20), (3, 40), (4, 20)):
            os.kill(parent.agent_pid, signal.SIGSTOP)
            self.send(load, A, count=100 * MANY, qos=0)
            await load.barrier()
            self.configure(self.both(broker, a=f'keepalive = "{keepalive}s"'))
            parent.signal_agent(signal.SIGHUP)
            os.kill(parent.agent_pid, signal.SIGCONT)
            await self.got(parent, A)
            await until(lambda n=times: broker.log.count(f"\t{A} (QoS 1)") == n, "the filter")
        self.assertEqual(numbers(parent.lines(), A), list(range(1, self.last[A] + 1)))

    # A reload and a stop at the same time.

    async def test_a_stop_within_a_reload(self) -> None:
        """What comes while no module runs any more stays at the broker for the next process."""
        broker = Mosquitto.start(self)
        parent, load = await self.running(broker)
        for mood in ("slow", ""):
            for delay_s in (0.0, 0.001, 0.005, 0.02, 0.1):
                # The reload waits for one of them, while the other is gone.
                self.mood(A, mood)
                await self.stop_within_a_reload(parent, load, delay_s)
                self.mood(A, "")
                parent.start()
                await self.said(parent, "Started with modules", times=parent.starts)
                await self.got(parent, A, B)

    async def stop_within_a_reload(self, parent: Any, load: Load, delay_s: float) -> None:
        """Send SIGHUP, and SIGTERM so much later, and numbers before, between and after."""
        parent._stopping = True
        self.send(load, A, B)
        parent.signal_agent(signal.SIGHUP)
        if delay_s:
            await pause(delay_s)
            self.send(load, A, B)
        parent.signal_agent(signal.SIGTERM)
        self.send(load, A, B)
        await until(lambda: not parent.agent_pid, "the end")
        self.assertEqual(parent.exits[-1], 0)

    # Two brokers, and a reader that is slow.

    async def test_pressure_at_two_brokers(self) -> None:
        """The queue stays near its marks, however close they are: both are paused together."""
        limits = ("max_inflight_messages 0", "max_queued_messages 0")
        brokers = [Mosquitto.start(self, settings=(*QUIET, *limits)) for _ in range(2)]
        top = 'queue_limit = "1MiB"\nqueue_high_mark = "10KiB"\nqueue_low_mark = "9KiB"\n'
        settings = 'protocol = "3.1.1"'
        self.configure(self.both(*brokers, top=top, a=settings, b=settings))
        parent = await self.start(modules=MODULES)
        await self.said(parent, "Connected to", times=2)
        loads = [await Load.connect(self, each.port, devices=0, name=each.url) for each in brokers]
        await pause(0.5)
        parent.freeze()
        for load, module in zip(loads, (A, B), strict=True):
            self.send(load, module, count=20_000)
        await until(lambda: all(load.acknowledged == 20_000 for load in loads), "the brokers")
        parent.read_at(SLOW)
        parent.thaw()
        await self.got(parent, A, B)
        self.assertEqual(self.lines_with(parent, "The queue is full"), [])
        for module in (A, B):
            self.assertEqual(numbers(parent.lines(), module), list(range(1, 20_001)))

    # A broker that goes away while nothing is read.

    async def test_the_broker_restarts_while_a_module_waits(self) -> None:
        """Its connection, which is not read, is back with its session when the module is."""
        broker = Mosquitto.start(self, persistent=True)
        keys = 'keepalive = "5s"\nreconnect_max = "200ms"'
        top = 'restart_backoff_min = "8s"\nrestart_backoff_max = "16s"\n'
        parent, load = await self.running(broker, top=top, a=keys, b=keys)
        self.mood(A, "fail")
        await self.said(parent, "Restart 1 in")
        self.mood(A, "")
        self.send(load, A, B)
        await self.got(parent, B)
        load.end()
        broker.stop()
        broker.start_again()
        load = await Load.connect(self, broker.port, devices=0)
        self.send(load, A, B)
        await self.got(parent, A, B)
        self.send(load, A, B)
        await self.got(parent, A, B)

    async def test_the_broker_keeps_a_connection_that_is_not_read(self) -> None:
        """Pings go on for longer than the broker waits for a sign of life."""
        broker = Mosquitto.start(self)
        top = 'restart_backoff_min = "12s"\nrestart_backoff_max = "24s"\n'
        parent, load = await self.running(broker, top=top, a='keepalive = "5s"')
        self.mood(A, "fail")
        await self.said(parent, "Restart 1 in")
        self.mood(A, "")
        self.send(load, A)
        await pause(9)
        self.send(load, A)
        await self.got(parent, A)
        self.assertEqual(len(CONNECTED.findall(broker.log)), 2)
        self.assertEqual(self.lines_with(parent, "Lost the connection"), [])

    # Client ids.

    async def test_sessions_stay_with_their_modules(self) -> None:
        """Whatever is changed in the file: each module finds its own session again."""
        broker = Mosquitto.start(self)
        keepalives = ("30s", "20s", "40s")
        parent, load = await self.running(broker, a='keepalive = "30s"', b='keepalive = "30s"')
        before = CONNECTED.findall(broker.log)
        for keepalive in keepalives:
            self.configure(self.both(broker, a=f'keepalive = "{keepalive}"', b='keepalive = "30s"'))
            parent.signal_agent(signal.SIGHUP)
            await self.said(parent, "Reloaded", times=keepalives.index(keepalive) + 1)
            self.send(load, A, B)
            await self.got(parent, A, B)
            await pause(0.2)
        await parent.stop()
        self.send(load, A, B)
        parent.start()
        await self.got(parent, A, B)
        self.assertEqual(set(CONNECTED.findall(broker.log)), set(before))
        self.assertNotIn("already connected", broker.log)
        for module in (A, B):
            self.assertEqual(numbers(parent.lines(), module), list(range(1, self.last[module] + 1)))

    async def test_one_client_id_in_two_modules(self) -> None:
        """The second does not run, and the log says why and where."""
        broker = Mosquitto.start(self)
        self.configure(self.both(broker, a='client_id = "me"', b='client_id = "me"'))
        parent = await self.start(modules=MODULES)
        await self.said(parent, 'client_id: got "me", which module numbers:a has too', "E")
        await self.said(parent, "Connected to")
