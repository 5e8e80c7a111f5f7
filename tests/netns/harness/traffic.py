"""Datagrams and connections without end, and a record of what arrives: one program for clients and pods, driven by lines of JSON on
standard input, answered by lines on standard output. The other half is traffic.ts.

A message begins with two nanoseconds of CLOCK_MONOTONIC: when its flow first sent anything, and when it was given to the kernel itself;
all namespaces of a machine have the same clock. A pod records each arrival: [kind, port, client's address, client's port, born, sent,
arrived], where kind is "datagram", "connection" (sent: when the client began to connect; arrived: when the pod accepted) or "segment", and
sends the message back."""

import json
import random
import selectors
import socket
import struct
import sys
import time

STAMP = struct.Struct("!QQ")
MESSAGE_BYTES = 64  # of a connection
FLOWS = 6  # a client's datagram sockets for each service
CONNECTIONS = 2
MESSAGES = 40  # of a connection, on average, before it is closed
CONNECT_SECONDS = 1.5
ANSWER_SECONDS = 1.0
V6ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)

selector = selectors.DefaultSelector()
now = time.monotonic_ns


def opened(family, kind):
    sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind)
    sock.setblocking(False)
    if family == 6:
        sock.setsockopt(*V6ONLY)
    return sock


def watch(sock, events, act):
    selector.register(sock, events, act)


class Pod:
    def __init__(self, ports):
        self.records = []
        for port in ports:
            for family in (4, 6):
                datagrams = opened(family, socket.SOCK_DGRAM)
                datagrams.bind(("", port))
                watch(datagrams, selectors.EVENT_READ, lambda _, s=datagrams, p=port: self.datagram(s, p))
                listener = opened(family, socket.SOCK_STREAM)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("", port))
                listener.listen(512)
                watch(listener, selectors.EVENT_READ, lambda _, s=listener, p=port: self.accept(s, p))

    def tick(self):
        return None

    def datagram(self, sock, port):
        data, peer = sock.recvfrom(2048)
        self.records.append(("datagram", port, peer[0], peer[1], *STAMP.unpack_from(data), now()))
        try:
            sock.sendto(data, peer)
        except OSError:
            pass  # the way back is down just now

    def accept(self, listener, port):
        sock, peer = listener.accept()
        sock.setblocking(False)
        connection = {"kind": "connection", "accepted": now(), "rest": b""}
        watch(sock, selectors.EVENT_READ, lambda _: self.segment(sock, port, peer, connection))

    def segment(self, sock, port, peer, connection):
        try:
            data = sock.recv(4096)
            if data:
                sock.send(data)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            selector.unregister(sock)
            sock.close()
            return
        data = connection["rest"] + data
        while len(data) >= MESSAGE_BYTES:
            arrived = connection["accepted"] if connection["kind"] == "connection" else now()
            self.records.append((connection["kind"], port, peer[0], peer[1], *STAMP.unpack_from(data), arrived))
            connection["kind"] = "segment"
            data = data[MESSAGE_BYTES:]
        connection["rest"] = data

    def report(self):
        records, self.records = self.records, []
        return records


class Client:
    def __init__(self, targets, seed, interval):
        self.random = random.Random(seed)
        self.interval = interval
        self.targets = [(address, port, 6 if ":" in address else 4) for address, port in targets]
        self.flows = {target: [] for target in self.targets}
        self.connections = {target: [] for target in self.targets}
        self.paused = True
        self.next = 0
        self.counts = {"sent": 0, "answered": 0, "connected": 0, "echoed": 0, "broken": 0}

    def tick(self):
        """Sends what is due; returns the seconds until the next time."""
        if self.paused:
            return None
        wait = self.next - time.monotonic()
        if wait > 0:
            return wait
        self.next = time.monotonic() + self.interval
        target = self.random.choice(self.targets)
        self.send(target) if self.random.random() < 0.6 else self.speak(target)
        return self.interval

    def send(self, target):
        address, port, family = target
        flows = self.flows[target]
        if len(flows) < FLOWS:
            sock = opened(family, socket.SOCK_DGRAM)
            watch(sock, selectors.EVENT_READ, lambda _, s=sock: self.answer(s))
            flows.append((sock, now()))
        flow = sock, born = self.random.choice(flows)
        try:
            sock.sendto(STAMP.pack(born, now()) + bytes(self.random.randrange(600)), (address, port))
            self.counts["sent"] += 1
        except OSError:
            pass
        if self.random.random() < 0.02:
            flows.remove(flow)
            selector.unregister(sock)
            sock.close()

    def answer(self, sock):
        try:
            sock.recv(2048)
            self.counts["answered"] += 1
        except OSError:
            pass

    def speak(self, target):
        address, port, family = target
        connections = self.connections[target]
        if len(connections) < CONNECTIONS:
            sock = opened(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = {"sock": sock, "target": target, "began": now(), "since": time.monotonic(), "up": False}
            connections.append(connection)
            sock.connect_ex((address, port))
            watch(sock, selectors.EVENT_WRITE, lambda _: self.connected(connection))
            return
        connection = self.random.choice(connections)
        quiet = time.monotonic() - connection["since"]
        if not connection["up"]:
            if quiet > CONNECT_SECONDS:
                self.end(connection)
        elif connection.get("waits") and quiet > ANSWER_SECONDS:
            self.counts["broken"] += 1
            self.end(connection)
        elif self.random.randrange(MESSAGES) == 0:
            self.end(connection)
        else:
            self.message(connection, now())

    def connected(self, connection):
        sock = connection["sock"]
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
            self.end(connection)
            return
        connection["up"] = True
        self.counts["connected"] += 1
        selector.modify(sock, selectors.EVENT_READ, lambda _: self.echo(connection))
        self.message(connection, connection["began"])

    def message(self, connection, stamp):
        try:
            connection["sock"].send(STAMP.pack(connection["began"], stamp).ljust(MESSAGE_BYTES, b"."))
            if not connection.get("waits"):
                connection["since"] = time.monotonic()
            connection["waits"] = True
        except OSError:
            self.end(connection)

    def echo(self, connection):
        try:
            data = connection["sock"].recv(4096)
        except OSError:
            data = b""
        if data:
            self.counts["echoed"] += len(data) // MESSAGE_BYTES
            connection["waits"] = False
        else:
            self.end(connection)

    def end(self, connection):
        """By FIN, or now and then by RST, which is also for what does not answer: its FIN would be repeated for minutes."""
        sock = connection["sock"]
        if connection.get("waits") or self.paused or self.random.randrange(3) == 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connections[connection["target"]].remove(connection)
        selector.unregister(sock)
        sock.close()

    def report(self):
        return self.counts

    def probe(self, address, port):
        """Whether somebody answers a new flow's datagrams within two seconds."""
        sock = opened(6 if ":" in address else 4, socket.SOCK_DGRAM)
        sock.settimeout(0.1)
        answered = False
        born = now()
        for _ in range(20):
            try:
                sock.sendto(STAMP.pack(born, now()), (address, port))
                sock.recv(2048)
                answered = True
                break
            except OSError:
                pass
        sock.close()
        return answered

    def pause(self):
        self.paused = True

    def close(self):
        self.paused = True
        for connections in self.connections.values():
            for connection in list(connections):
                self.end(connection)
        for flows in self.flows.values():
            for sock, _ in flows:
                selector.unregister(sock)
                sock.close()
            flows.clear()

    def resume(self):
        self.paused = False


def command(actor, line):
    request = json.loads(line)
    result = getattr(actor, request["op"])(*request.get("arguments", []))
    print(json.dumps(result), flush=True)


def main():
    role = json.loads(sys.argv[1])
    actor = Pod(role["ports"]) if "ports" in role else Client(role["targets"], role["seed"], role["interval"])
    watch(sys.stdin, selectors.EVENT_READ, lambda _: False)
    while True:
        wait = actor.tick()
        for key, _ in selector.select(wait):
            if key.fileobj is not sys.stdin:
                key.data(None)
                continue
            line = sys.stdin.readline()
            if not line:
                return
            command(actor, line)


main()
