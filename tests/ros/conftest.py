"""Fixtures of the tests over DDS: programs under test as processes, rclpy as the independent peer.

The programs come from target/release or target/debug, whichever holds the newer planner_node, or from DFP_BIN_DIR.
"""

import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

# Before rclpy is imported: a domain of our own on this machine, so that tests disturb nobody.
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randint(1, 101))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

PROJECT = Path(__file__).resolve().parents[2]

# Time-outs are for a loaded machine with two cores; nothing below waits longer than it must.
PATIENCE_S = 30.0


def program(name):
    """Path of a built program or example."""
    if "DFP_BIN_DIR" in os.environ:
        folders = [Path(os.environ["DFP_BIN_DIR"])]
    else:
        target = Path(os.environ.get("CARGO_TARGET_DIR", PROJECT / "target"))
        folders = [target / "release", target / "debug"]
    found = [p for folder in folders for p in (folder / name, folder / "examples" / name) if p.exists()]
    if not found:
        pytest.fail(f"{name} is not built; looked in {', '.join(map(str, folders))}")
    return max(found, key=lambda p: p.stat().st_mtime)


class Program:
    """A program under test; its output is kept and shown when a test fails."""

    # pytest catches what is printed; a benchmark's own output is all it should print.
    prints = True

    def __init__(self, name, *arguments):
        self.name = name
        self.output = []
        self.process = subprocess.Popen(
            [*map(str, self.command(name)), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def command(self, name):
        """What starts the program, without its arguments."""
        return [program(name)]

    def _read(self):
        for line in self.process.stdout:
            self.output.append(line)
            if self.prints:
                print(f"[{self.name}] {line}", end="")

    def alive(self):
        return self.process.poll() is None

    def cpu_seconds(self):
        """User and system time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self):
        """Resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self, sig=signal.SIGINT, timeout=PATIENCE_S):
        """Asks the program to end and returns its exit status."""
        if self.alive():
            self.process.send_signal(sig)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end within {timeout} s of signal {sig}")
        self._reader.join(5)
        return status


def wait_for(condition, what, timeout=PATIENCE_S):
    """Waits until the condition gives something true, and returns it."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {timeout} s for {what}")


class Peer(Node):
    """An rclpy node that spins in its own thread."""

    def __init__(self, name):
        super().__init__(name)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._stop = False
        self._thread.start()

    def _spin(self):
        while not self._stop:
            self._executor.spin_once(timeout_sec=0.1)

    def close(self):
        self._stop = True
        self._thread.join()
        self._executor.shutdown()
        self.destroy_node()

    def done(self, future, what, timeout=PATIENCE_S):
        """The result of a future; woken by it, so that times taken around it are not those of a polling loop."""
        woken = threading.Event()
        future.add_done_callback(lambda _: woken.set())
        assert woken.wait(timeout), f"waited {timeout} s for {what}"
        return future.result()

    def ask(self, start, what, timeout=PATIENCE_S):
        """The result of the future that `start` returns. It runs in the node's thread: rclpy's clients lose an answer
        that arrives while another thread is still inside `..._async`."""
        return self.done(self.start(start, what, timeout), what, timeout)

    def start(self, start, what="the start of a request", timeout=PATIENCE_S):
        """The future that `start` returns, see `ask`."""
        return self.done(self._executor.create_task(start), what, timeout)

    def publisher(self, message_type, topic, qos=10):
        """A publisher that something listens to."""
        publisher = self.create_publisher(message_type, topic, qos)
        wait_for(lambda: publisher.get_subscription_count() > 0, f"the subscription of {topic}")
        return publisher

    def call(self, service_type, name, request, timeout=PATIENCE_S):
        """Calls a service. A server that has not discovered the client yet does not hear it: then once more."""
        client = self.create_client(service_type, name)
        assert client.wait_for_service(timeout), f"no service {name}"
        end = time.monotonic() + timeout
        while True:
            future = self.start(lambda: client.call_async(request))
            try:
                response = self.done(future, f"an answer of {name}", 5.0)
            except AssertionError:
                if time.monotonic() > end:
                    raise
            else:
                self.destroy_client(client)
                return response


@pytest.fixture(scope="session", autouse=True)
def ros():
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture
def peer():
    node = Peer(f"test_peer_{random.getrandbits(32):08x}")
    yield node
    node.close()
