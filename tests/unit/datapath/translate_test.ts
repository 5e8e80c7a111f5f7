/** RFC 7915, packet by packet: every pair of translations.ts in the directions it is meant for, and what must not be translated. */

import { assertEquals } from "@std/assert";
import {
  REFUSE_NO_CHECKSUM,
  REFUSE_SOURCE_ROUTE,
  REFUSE_UNKNOWN,
} from "../../../mod/datapath/translate46.ts";
import { REFUSE_BAD_CHECKSUM } from "../../../mod/datapath/translate_quote.ts";
import { buildPacket, ethernet, icmp, icmpv6, tcp, udp } from "../../packets/builder.ts";
import { ERROR_REFUSALS, ERROR_TRANSLATIONS } from "../../packets/error_translations.ts";
import { hexLines } from "../../packets/fixture.ts";
import { DST4, DST6, REFUSALS, SRC4, SRC6, TRANSLATIONS } from "../../packets/translations.ts";
import { asSent, opposite, Translator } from "../../packets/translator.ts";
import { faults } from "../../packets/verify.ts";

const translator = new Translator();

function frameOf(packet: Uint8Array): Uint8Array {
  return ethernet(packet[0] >>> 4 === 4 ? 0x0800 : 0x86dd, packet);
}

/** Type of a whole echo message; undefined for all else. */
function echoType(packet: Uint8Array): number | undefined {
  const is4 = packet[0] >>> 4 === 4;
  if (is4) return packet[9] === 1 ? packet[20] : undefined;
  return packet[6] === 58 ? packet[40] : undefined;
}

function expectPacket(result: Uint8Array | number, expected: Uint8Array, from: Uint8Array): void {
  if (typeof result === "number") throw new Error(`refused: ${result}`);
  assertEquals(hexLines(result), hexLines(expected));
  if (faults(frameOf(from)).length === 0) assertEquals(faults(frameOf(result)), []);
}

for (const { what, section, way, four, six } of TRANSLATIONS) {
  if (way !== "64") {
    Deno.test(`translate46(): ${what} (RFC 7915 §${section})`, () => {
      expectPacket(translator.to6(four, opposite(6, echoType(four))), six, four);
    });
  }
  if (way !== "46") {
    Deno.test(`translate64(): ${what} (RFC 7915 §${section})`, () => {
      expectPacket(translator.to4(six, opposite(4, echoType(six))), four, six);
    });
  }
}

for (const { what, section, way, four, six, echo } of ERROR_TRANSLATIONS) {
  if (way !== "64") {
    Deno.test(`translateError46(): ${what} (RFC 7915 §${section})`, () => {
      expectPacket(translator.errorTo6(four, asSent(6, echo ?? false)), six, four);
    });
  }
  if (way !== "46") {
    Deno.test(`translateError64(): ${what} (RFC 7915 §${section})`, () => {
      expectPacket(translator.errorTo4(six, asSent(4, echo ?? false)), four, six);
    });
  }
}

Deno.test("translate46(), translate64(): what has no counterpart is refused, and why", () => {
  const reasons = {
    "unknown": REFUSE_UNKNOWN,
    "no checksum": REFUSE_NO_CHECKSUM,
    "source route": REFUSE_SOURCE_ROUTE,
  };
  for (const { what, packet, reason } of REFUSALS) {
    const is4 = packet[0] >>> 4 === 4;
    const result = is4 ? translator.to6(packet, opposite(6)) : translator.to4(packet, opposite(4));
    assertEquals(result, reasons[reason], what);
  }
});

Deno.test("translateError46(), translateError64(): errors that are not translated", () => {
  for (const { what, packet } of ERROR_REFUSALS) {
    const is4 = packet[0] >>> 4 === 4;
    const result = is4
      ? translator.errorTo6(packet, asSent(6, false))
      : translator.errorTo4(packet, asSent(4, false));
    assertEquals(result, REFUSE_UNKNOWN, what);
  }
});

Deno.test("translateError46(), translateError64(): an error with a wrong checksum does not get a right one", () => {
  const quote4 = buildPacket({ src: SRC4, dst: DST4 }, udp({}));
  const quote6 = buildPacket({ src: SRC6, dst: DST6 }, udp({}));
  const four = icmp({ type: 3, code: 3, payload: quote4, checksum: "wrong" });
  const six = icmpv6({ type: 1, code: 4, payload: quote6, checksum: "wrong" });
  const error4 = buildPacket({ src: DST4, dst: SRC4 }, four);
  const error6 = buildPacket({ src: DST6, dst: SRC6 }, six);
  assertEquals(translator.errorTo6(error4, asSent(6, false)), REFUSE_BAD_CHECKSUM);
  assertEquals(translator.errorTo4(error6, asSent(4, false)), REFUSE_BAD_CHECKSUM);
});

Deno.test("translate46(), translate64(): a wrong TCP, UDP or echo checksum stays wrong", () => {
  for (const segment of [tcp({ checksum: "wrong" }), udp({ checksum: "wrong" })]) {
    const six = translator.to6(buildPacket({ src: SRC4, dst: DST4 }, segment), opposite(6)) as Uint8Array;
    assertEquals(faults(frameOf(six)).length, 1);
    const four = translator.to4(buildPacket({ src: SRC6, dst: DST6 }, segment), opposite(4)) as Uint8Array;
    assertEquals(faults(frameOf(four)).length, 1);
  }
  const echo4 = buildPacket({ src: SRC4, dst: DST4 }, icmp({ type: 8, checksum: "wrong" }));
  const echo6 = buildPacket({ src: SRC6, dst: DST6 }, icmpv6({ type: 128, checksum: "wrong" }));
  assertEquals(faults(frameOf(translator.to6(echo4, opposite(6, 8)) as Uint8Array)), ["ICMPv6 checksum"]);
  assertEquals(faults(frameOf(translator.to4(echo6, opposite(4, 128)) as Uint8Array)), ["ICMP checksum"]);
});

Deno.test("translate…(): one hop less when asked", () => {
  const [{ four, six }] = TRANSLATIONS;
  assertEquals((translator.to6(four, opposite(6), 1) as Uint8Array)[7], 6);
  const to4 = translator.to4(six, opposite(4), 1) as Uint8Array;
  assertEquals(to4[8], 6);
  assertEquals(faults(frameOf(to4)), []);
  const error = ERROR_TRANSLATIONS.find(({ way }) => way === "both")!;
  assertEquals((translator.errorTo6(error.four, asSent(6, false), 1) as Uint8Array)[7], 63);
  const error4 = translator.errorTo4(error.six, asSent(4, false), 1) as Uint8Array;
  assertEquals(error4[8], 63);
  assertEquals(faults(frameOf(error4)), []);
});
