"""A person at a terminal: runs a program on a pseudo-terminal and plays a dialog of `[wait for this text, then type that]`.

usage: terminal.py DIALOG COLUMNSxLINES PROGRAM [ARGUMENT...]    (DIALOG is JSON; "" waits for nothing)
Prints everything that the program wrote; the exit code is the program's. Text that does not come within 15 s ends it with code 124.
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time

dialog, size, command = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
columns, lines = (int(part) for part in size.split("x"))
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

shown = b""


def read(deadline):
    """What the program writes next; None at its end."""
    global shown
    ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
    if not ready:
        return b""
    try:
        piece = os.read(terminal, 65536)
    except OSError:  # EIO: nobody holds the other end any more
        piece = b""
    shown += piece
    return piece or None


late = False
seen = 0
for wanted, typed in dialog:
    deadline = time.monotonic() + 15
    while wanted.encode() not in shown[seen:]:
        if read(deadline) is None or time.monotonic() > deadline:
            late = True
            break
    if late:
        break
    seen = shown.index(wanted.encode(), seen) + len(wanted)
    os.write(terminal, typed.encode())
deadline = time.monotonic() + 15
while not late and read(deadline) is not None:
    late = time.monotonic() > deadline
sys.stdout.buffer.write(shown)
sys.stdout.flush()
if late:
    os.kill(pid, 9)
_, status = os.waitpid(pid, 0)
sys.exit(124 if late else os.waitstatus_to_exitcode(status))
