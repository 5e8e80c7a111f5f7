"""Real sockets inside a network namespace, driven from outside: one JSON request per line on standard input, one JSON answer per line on
standard output, {"id", "result"} or {"id", "error", "message"} with error an errno name. Requests run side by side; those of one socket
are in order when the caller waits for each answer. Bytes travel as base64. The other half is sockets.ts."""

import base64
import errno
import json
import socket
import sys
import threading
import time

FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
TYPES = {"datagram": socket.SOCK_DGRAM, "stream": socket.SOCK_STREAM, "raw": socket.SOCK_RAW}

sockets = {}
lock = threading.Lock()


def keep(sock):
    with lock:
        number = len(sockets) + 1
        sockets[number] = sock
    return {"socket": number, "address": list(sock.getsockname()[:2])}


def open_socket(request):
    sock = socket.socket(FAMILIES[request["family"]], TYPES[request["type"]], request.get("protocol", 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for level, name, value in request.get("options", []):
        sock.setsockopt(level, name, value)
    if "bind" in request:
        sock.bind(tuple(request["bind"]))
    return keep(sock)


def set_option(request):
    level, name, value = request["option"]
    sockets[request["socket"]].setsockopt(level, name, value)


def connect(request):
    sock = sockets[request["socket"]]
    sock.settimeout(request["timeout"])
    sock.connect(tuple(request["to"]))
    return {"address": list(sock.getsockname()[:2])}


def listen(request):
    sockets[request["socket"]].listen(128)


def accept(request):
    listener = sockets[request["socket"]]
    listener.settimeout(request["timeout"])
    sock, peer = listener.accept()
    return dict(keep(sock), peer=list(peer[:2]))


def send(request):
    sock = sockets[request["socket"]]
    data = base64.b64decode(request["data"])
    if "to" in request:
        sock.sendto(data, tuple(request["to"]))
    else:
        sock.sendall(data)


def receive(request):
    """One datagram, or `size` bytes of a stream, or what there was of it at its end."""
    sock = sockets[request["socket"]]
    sock.settimeout(request["timeout"])
    if sock.type == socket.SOCK_STREAM:
        parts, left = [], request["size"]
        while left > 0:
            part = sock.recv(left)
            if not part:
                break
            parts.append(part)
            left -= len(part)
        return {"data": base64.b64encode(b"".join(parts)).decode()}
    data, peer = sock.recvfrom(request["size"])
    return {"data": base64.b64encode(data).decode(), "from": list(peer[:2])}


def close(request):
    sockets[request["socket"]].close()


def identity(name, peer):
    return f"{name} {peer[0]} {peer[1]} ".encode()


def serve_datagrams(sock, name):
    while True:
        data, peer = sock.recvfrom(65536)
        sock.sendto(identity(name, peer) + data, peer)


def serve_connection(sock, name, peer):
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(identity(name, peer) + b"\n")
        while data := sock.recv(65536):
            sock.sendall(data)


def serve_connections(sock, name):
    while True:
        connection, peer = sock.accept()
        threading.Thread(target=guarded, args=(serve_connection, connection, name, peer), daemon=True).start()


def guarded(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        print(error, file=sys.stderr)


def serve(request):
    """Answers every datagram with "name address port " and the datagram; greets every connection so, then echoes it."""
    sock = sockets[request["socket"]]
    sock.settimeout(None)
    if sock.type == socket.SOCK_STREAM:
        sock.listen(128)
    target = serve_connections if sock.type == socket.SOCK_STREAM else serve_datagrams
    threading.Thread(target=guarded, args=(target, sock, request["name"]), daemon=True).start()


SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h; beyond net.core.rmem_max
STREAM_BUFFER = 32 << 20
streams = {}


def start_stream(request):
    """Sends numbered datagrams at a steady rate and takes back the answers, until stream_end."""
    sock = sockets[request["socket"]]
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, STREAM_BUFFER)
    sock.connect(tuple(request["to"]))
    sock.settimeout(0.5)
    stream = streams[request["socket"]] = {"sent": 0, "answered": set(), "ends": threading.Event(), "sent_all": threading.Event()}

    def send_all():
        start = time.monotonic()
        while not stream["ends"].is_set():
            due = int((time.monotonic() - start) * request["rate"])
            while stream["sent"] < due:
                try:
                    sock.send(b"%d" % stream["sent"])
                except ConnectionRefusedError:
                    continue  # told of an earlier datagram, which then has no answer
                stream["sent"] += 1
            time.sleep(0.001)
        stream["sent_all"].set()

    def receive_all():
        while len(stream["answered"]) < stream["sent"] or not stream["sent_all"].is_set():
            try:
                stream["answered"].add(int(sock.recv(2048).rsplit(b" ", 1)[1]))
            except socket.timeout:
                if stream["sent_all"].is_set():
                    return
            except ConnectionRefusedError:
                pass

    stream["threads"] = [threading.Thread(target=target, daemon=True) for target in (send_all, receive_all)]
    for thread in stream["threads"]:
        thread.start()


def look_at_stream(request):
    stream = streams[request["socket"]]
    return {"sent": stream["sent"], "answered": len(stream["answered"])}


def end_stream(request):
    """How many were sent, and which had no answer half a second after the last."""
    stream = streams.pop(request["socket"])
    stream["ends"].set()
    for thread in stream["threads"]:
        thread.join()
    missing = sorted(set(range(stream["sent"])) - stream["answered"])
    return {"sent": stream["sent"], "answered": len(stream["answered"]), "missing": missing[:1000]}


OPERATIONS = {
    "stream": start_stream, "stream_look": look_at_stream, "stream_end": end_stream,
    "open": open_socket, "option": set_option, "connect": connect, "listen": listen, "accept": accept,
    "send": send, "receive": receive, "close": close, "serve": serve,
}


def answer(request):
    try:
        reply = {"id": request["id"], "result": OPERATIONS[request["op"]](request)}
    except socket.timeout as error:
        reply = {"id": request["id"], "error": "ETIMEDOUT", "message": str(error)}
    except OSError as error:
        reply = {"id": request["id"], "error": errno.errorcode.get(error.errno, "OSError"), "message": str(error)}
    with lock:
        print(json.dumps(reply), flush=True)


for line in sys.stdin:
    threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()
