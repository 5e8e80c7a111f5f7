/** What waits for the steering maps: additions and removals, and those that cancel out. */

import { assertEquals } from "@std/assert";
import { parsePrefix } from "../../../mod/config/address.ts";
import { PendingKeys } from "../../../mod/control/steering_keys.ts";
import { PLEN_HOST, type SteeringKey } from "../../../mod/xdp/steering_keys.ts";

function key(address: string, port: number): SteeringKey {
  return { address: parsePrefix(address)!.bytes, prefixLength: PLEN_HOST, protocol: 6, port };
}

Deno.test("PendingKeys hands out what was added and what was removed, each once and as often as it occurs", () => {
  const pending = new PendingKeys();
  const [a, b] = [key("10.0.0.1", 80), key("10.0.0.2", 80)];
  pending.add([a, b, a]);
  assertEquals(pending.takeRemoved(), []);
  assertEquals(pending.takeAdded(), [a, b, a]);
  assertEquals(pending.takeAdded(), []);
  pending.remove([b]);
  assertEquals(pending.takeRemoved(), [b]);
  assertEquals(pending.takeRemoved(), []);
});

Deno.test("PendingKeys: additions and removals of equal keys cancel out, whichever came first", () => {
  const pending = new PendingKeys();
  const [a, b, c] = [key("10.0.0.1", 80), key("10.0.0.2", 80), key("2001:db8::1", 80)];
  pending.add([a, b]);
  pending.remove([key("10.0.0.1", 80), c, c]);
  pending.add([c, b]);
  assertEquals(pending.takeRemoved(), [c]);
  assertEquals(pending.takeAdded(), [b, b]);
});
