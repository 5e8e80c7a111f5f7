"""One UDP flow, counted: numbered datagrams to an address and port, one every interval, each of which the other side echoes.

    counted.py <address> <port> <interval in ms>      on the end of its input: waits for the last answers and tells {sent, answered}
"""
import json
import select
import socket
import sys
import time

PATIENCE_S = 2.0

address, port, interval = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000
flow = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
flow.connect((address, port))
flow.setblocking(False)
answered = set()
sent = 0


def read_answers():
    try:
        while True:
            answered.add(int(flow.recv(2048).split()[-1]))
    except BlockingIOError:
        pass


due = time.monotonic()
while True:
    flow.send(str(sent).encode())
    sent += 1
    due += interval
    wait = max(0.0, due - time.monotonic())
    ready, _, _ = select.select([flow, sys.stdin], [], [], wait)
    read_answers()
    if sys.stdin in ready:
        break
    if sent == 1:
        print("sending", flush=True)
    rest = due - time.monotonic()
    if rest > 0:
        time.sleep(rest)

end = time.monotonic() + PATIENCE_S
while len(answered) < sent and time.monotonic() < end:
    select.select([flow], [], [], end - time.monotonic())
    read_answers()
print(json.dumps({"sent": sent, "answered": len(answered)}), flush=True)
