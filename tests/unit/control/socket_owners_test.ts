/** Who holds a Unix socket. */

import { assertEquals } from "@std/assert";
import { inodesOf, ownersOf } from "../../../mod/control/socket_owners.ts";

Deno.test("inodesOf: sockets of this very name, the accepted ones too, and no socket without a name", () => {
  const table = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 100 @ku-successor
0000000000000000: 00000003 00000000 00000000 0001 03   7 @ku-successor
0000000000000000: 00000003 00000000 00000000 0001 03 101
0000000000000000: 00000002 00000000 00010000 0001 01 102 @ku-successor2
0000000000000000: 00000002 00000000 00010000 0001 01 103 /run/@ku-successor
`;
  assertEquals(inodesOf(table, "\0ku-successor"), new Set(["100", "7"]));
  assertEquals(inodesOf("", "\0ku-successor"), new Set());
});

Deno.test("ownersOf: the process that listens, nobody once it has stopped", async () => {
  const name = `\0ku-test-${crypto.randomUUID()}`;
  assertEquals(await ownersOf(name), []);
  const listener = Deno.listen({ transport: "unix", path: name });
  assertEquals(await ownersOf(name), [Deno.pid]);
  listener.close();
});
