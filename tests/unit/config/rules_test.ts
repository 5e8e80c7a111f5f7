/** Rules for values that no other test of the state reaches. */

import { assertEquals, assertThrows } from "@std/assert";
import { ConfigError, protocolNumbers, vipKeyText } from "../../../mod/config/model.ts";
import { checkInterfaceName, checkListenAddress, checkPowerOfTwo } from "../../../mod/config/rules.ts";

Deno.test("checkListenAddress wants an address and a port", () => {
  assertEquals(checkListenAddress("metrics", "127.0.0.1:9753"), { hostname: "127.0.0.1", port: 9753 });
  assertEquals(checkListenAddress("metrics", "0.0.0.0:80"), { hostname: "0.0.0.0", port: 80 });
  assertEquals(checkListenAddress("metrics", "[::]:65535"), { hostname: "::", port: 65535 });
  for (
    const text of [
      "",
      "9753",
      ":9753",
      "::1:80",
      "[::1]",
      "[10.0.0.1]:80",
      "localhost:80",
      "1.2.3.4:0",
      "1.2.3.4:65536",
    ]
  ) {
    assertThrows(() => checkListenAddress("metrics", text), ConfigError, "give an address and port");
  }
});

Deno.test("checkPowerOfTwo takes exactly the powers of two within its bounds", () => {
  for (let value = -2; value <= 70; value++) {
    const ok = [2, 4, 8, 16, 32].includes(value);
    if (ok) assertEquals(checkPowerOfTwo("x", value, 2, 32), value);
    else assertThrows(() => checkPowerOfTwo("x", value, 2, 32), ConfigError);
  }
  for (const value of [NaN, Infinity, 2.5, 2 ** 32]) {
    assertThrows(() => checkPowerOfTwo("x", value, 2, 32), ConfigError);
  }
});

Deno.test("checkInterfaceName counts bytes, as the kernel does", () => {
  assertEquals(checkInterfaceName("äöüäöüä"), "äöüäöüä");
  for (const name of ["äöüäöüäö", "", ".", "..", "a b", "a:b", "a\u0000", "ku0", "ku1"]) {
    assertThrows(() => checkInterfaceName(name), ConfigError);
  }
});

Deno.test("vipKeyText and protocolNumbers tell every kind of VIP apart", () => {
  const prefix = "10.0.0.1/32";
  assertEquals(vipKeyText({ prefix, protocol: null, port: null }), "10.0.0.1/32");
  assertEquals(vipKeyText({ prefix, protocol: null, port: 80 }), "10.0.0.1/32 any 80");
  assertEquals(vipKeyText({ prefix, protocol: "tcp", port: 80 }), "10.0.0.1/32 tcp 80");
  assertEquals(protocolNumbers({ prefix, protocol: null, port: null }), []);
  assertEquals(protocolNumbers({ prefix, protocol: null, port: 80 }), [6, 17, 132]);
  assertEquals(protocolNumbers({ prefix, protocol: "sctp", port: 80 }), [132]);
});
