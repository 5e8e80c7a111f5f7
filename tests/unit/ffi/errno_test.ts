/* errno right after foreign calls, in every thread, and the error made of it. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { checkErrno, checkNegative, errnoName, lastErrno, SystemError } from "../../../ffi/errno.ts";
import { libc } from "../../../ffi/libc.ts";
import { cString } from "../../../ffi/memory.ts";

const EBADF = 9;

Deno.test("lastErrno is right after a failed call, whatever is allocated in between", () => {
  const nothing = 0n;
  const keep: unknown[] = [];
  for (let i = 0; i < 200_000; i++) {
    const result = libc.send(-1, null, nothing, 0);
    keep[i % 1000] = new Array(10).fill(i); // the garbage collector's system calls succeed, and leave errno alone
    if (result !== -1 || lastErrno() !== EBADF) throw new Error(`errno ${lastErrno()} in round ${i}`);
  }
  assertEquals(libc.if_nametoindex(cString("no-such-if")), 0);
  assertEquals(errnoName(lastErrno()), "ENODEV");
});

Deno.test("lastErrno belongs to the thread: a worker's failures do not show here", async () => {
  const code = `
    import { libc } from "${new URL("../../../ffi/libc.ts", import.meta.url)}";
    import { lastErrno } from "${new URL("../../../ffi/errno.ts", import.meta.url)}";
    libc.close(-1);
    self.postMessage(lastErrno());
  `;
  libc.if_nametoindex(cString("no-such-if"));
  const worker = new Worker(`data:application/javascript,${encodeURIComponent(code)}`, { type: "module" });
  try {
    const theirs = await new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
    assertEquals(theirs, EBADF);
  } finally {
    worker.terminate();
  }
});

Deno.test("SystemError says in one line what, to what, why, and what to do", () => {
  const error = new SystemError("bind AF_XDP socket", 16, `to "eth0" queue 3`, "stop the other program");
  assertEquals(
    error.message,
    `Cannot bind AF_XDP socket to "eth0" queue 3: EBUSY (device or resource busy), stop the other program`,
  );
  assertEquals([error.code, error.errno, error.call], ["EBUSY", 16, "bind AF_XDP socket"]);
  assert(error instanceof Error);
  assertEquals(new SystemError("do", 9999, "it").message, "Cannot do it: errno 9999");
  assertEquals(
    new SystemError("do", 1, "it").message,
    "Cannot do it: EPERM (operation not permitted), run ku as root",
  );
});

Deno.test("checkErrno and checkNegative pass results on and throw for negative ones", () => {
  assertEquals(checkErrno(7, "do", "it"), 7);
  assertEquals(checkNegative(0, "do", "it"), 0);
  assertThrows(() => checkErrno(libc.close(-1), "close", "it"), SystemError, "Cannot close it: EBADF");
  assertThrows(() => checkNegative(-95, "do", "it"), SystemError, "EOPNOTSUPP");
});
