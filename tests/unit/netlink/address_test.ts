/* mod/netlink/address.ts: text there and back, and keys. */

import { assertEquals, assertNotEquals } from "@std/assert";
import { addressKey, addressText, macText, parseMac, sameBytes } from "../../../mod/netlink/address.ts";
import { ipAddress } from "./builder.ts";

Deno.test("addressText follows RFC 5952", () => {
  const texts = [
    "0.0.0.0",
    "255.1.0.10",
    "::",
    "::1",
    "fe80::1",
    "2001:db8::1:0:0:1", // the first of two equal runs
    "2001:0:0:1::1", // the longer run
    "2001:db8:0:1:1:1:1:1", // a single zero group stays
    "1:2:3:4:5:6:7:8",
    "1::",
  ];
  for (const text of texts) assertEquals(addressText(ipAddress(text)), text);
  const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1);
  assertEquals(addressText(mapped), "::ffff:10.0.0.1");
  assertEquals(addressText(ipAddress("2001:0DB8:0:0::0001")), "2001:db8::1");
  assertEquals(addressText(ipAddress("64:ff9b::1.2.3.4")), "64:ff9b::102:304");
});

Deno.test("addressKey tells addresses and families apart", () => {
  const keys = ["10.0.0.1", "10.0.1.0", "::", "0.0.0.0"].map((text) => addressKey(ipAddress(text)));
  assertEquals(new Set(keys).size, keys.length);
  assertNotEquals(keys[0], keys[1]);
  assertEquals(keys[0], addressKey(Uint8Array.of(10, 0, 0, 1)));
});

Deno.test("parseMac and macText are inverse", () => {
  assertEquals(macText(parseMac("02:6B:75:00:00:0f")!), "02:6b:75:00:00:0f");
  for (const text of ["", "02:6b:75:00:00", "02:6b:75:00:00:0g", "026b75000000"]) {
    assertEquals(parseMac(text), null);
  }
});

Deno.test("sameBytes compares contents and lengths", () => {
  assertEquals(sameBytes(null, null), true);
  assertEquals(sameBytes(null, Uint8Array.of(1)), false);
  assertEquals(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true);
  assertEquals(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 3)), false);
});
