/**
 * Random packets through both translations of RFC 7915: there and back is the packet that was, less what the document says is lost, and
 * every checksum on the way is right when computed from nothing.
 *
 *     lost IPv4 → IPv6 → IPv4   options; the identification of a whole packet; DF (then told by the size); UDP's "no checksum"
 *     lost IPv6 → IPv4 → IPv6   flow label; extension headers; the upper half of a fragment's identification
 */

import { assertEquals } from "@std/assert";
import {
  buildPacket,
  type Checksum,
  ethernet,
  type Extension,
  fragmentHeader,
  icmp,
  icmpv6,
  type IpFields,
  raw,
  sctp,
  type Segment,
  tcp,
  udp,
} from "../../packets/builder.ts";
import { ERROR_TRANSLATIONS } from "../../packets/error_translations.ts";
import { hexLines } from "../../packets/fixture.ts";
import { property, type Random } from "../../packets/random.ts";
import { ALL_EXTENSIONS, IDENTIFICATION, ROUTER_ALERT } from "../../packets/translations.ts";
import { asSent, Translator, tuple } from "../../packets/translator.ts";
import { faults } from "../../packets/verify.ts";

const ROUNDS = 4000;
const translator = new Translator();

/** What both families have in common. */
interface Draw {
  src4: string;
  dst4: string;
  src6: string;
  dst6: string;
  srcPort: number;
  dstPort: number;
  newPort: number;
  payload: Uint8Array;
  ttl: number;
  tos: number;
  kind: "tcp" | "udp" | "sctp" | "echo" | "raw" | "first" | "later";
  offset: number;
  more: boolean;
  id: number;
}

function draw(random: Random): Draw {
  const octets = (first: number) => `${first}.${random.below(256)}.${random.below(256)}.${random.below(256)}`;
  const words = () => Array.from({ length: 6 }, () => random.below(65536).toString(16)).join(":");
  const kinds = ["tcp", "udp", "sctp", "echo", "raw", "first", "later"] as const;
  const kind = kinds[random.below(kinds.length)];
  const size = random.below(8) === 0 ? random.below(2) : random.below(1400);
  return {
    src4: octets(10),
    dst4: octets(198),
    src6: `2001:db8:${words()}`,
    dst6: `fd00:1:${words()}`,
    srcPort: random.below(65536),
    dstPort: random.below(65536),
    newPort: random.below(65536),
    payload: random.bytes(kind === "first" || kind === "later" ? size & ~7 : size),
    ttl: 1 + random.below(255),
    tos: random.below(256),
    kind,
    offset: 8 * (1 + random.below(8191)),
    more: random.below(2) === 0,
    id: random.below(65536),
  };
}

function segment(d: Draw, family: 4 | 6, dstPort: number, checksum: Checksum = "right"): Segment {
  const { srcPort, payload } = d;
  switch (d.kind) {
    case "tcp":
      return tcp({ srcPort, dstPort, payload, flags: d.id & 0x3f, checksum });
    case "udp":
      return udp({ srcPort, dstPort, payload, checksum });
    case "sctp":
      return sctp({ srcPort, dstPort, chunks: payload, checksum: checksum === "none" ? "right" : checksum });
    case "echo": {
      const rest = (dstPort << 16) | d.id;
      return family === 4 ? icmp({ type: 8, rest, payload }) : icmpv6({ type: 128, rest, payload });
    }
    case "first": {
      // The checksum is that of the whole datagram, of which this is the beginning; here any, but not 0.
      const whole = udp({ srcPort, dstPort, payload, length: payload.length + 808 });
      return { ...whole, checksum: "right" };
    }
    default:
      return raw(d.kind === "raw" ? 47 : 17, payload);
  }
}

function fragmented(d: Draw): boolean {
  return d.kind === "first" || d.kind === "later";
}

function packet4(d: Draw, dstPort: number, fields: Partial<IpFields>, checksum?: Checksum): Uint8Array {
  const { ttl, tos } = d;
  const ip: IpFields = { src: d.src4, dst: d.dst4, ttl, tos, ...fields };
  if (fragmented(d)) {
    ip.id = d.id;
    ip.fragmentOffset = d.kind === "first" ? 0 : d.offset;
    ip.moreFragments = d.kind === "first" || d.more;
    ip.dontFragment = false;
  }
  return buildPacket(ip, segment(d, 4, dstPort, checksum));
}

function packet6(
  d: Draw,
  dstPort: number,
  extensions: Extension[],
  high: number,
  flowLabel: number,
): Uint8Array {
  const { ttl, tos } = d;
  const all = [...extensions];
  if (fragmented(d)) {
    const offset = d.kind === "first" ? 0 : d.offset;
    all.push(fragmentHeader(offset, d.kind === "first" || d.more, ((high << 16) | d.id) >>> 0));
  }
  const ip: IpFields = { src: d.src6, dst: d.dst6, ttl, tos, extensions: all, flowLabel };
  return buildPacket(ip, segment(d, 6, dstPort));
}

/** The tuple for `translate…`, addresses of one family, turned round. */
function tupleOf(d: Draw, family: 4 | 6, port: number): Int32Array {
  const [src, dst] = family === 4 ? [d.src4, d.dst4] : [d.src6, d.dst6];
  return d.kind === "echo" ? tuple(dst, src, 0, port) : tuple(dst, src, port, d.srcPort);
}

function right(result: Uint8Array | number): Uint8Array {
  if (typeof result === "number") throw new Error(`refused: ${result}`);
  assertEquals(faults(ethernet(result[0] >>> 4 === 4 ? 0x0800 : 0x86dd, result)), []);
  return result;
}

Deno.test("translate46() then translate64() gives back the IPv4 packet, less what RFC 7915 loses", () => {
  property((random) => {
    for (let round = 0; round < ROUNDS; round++) {
      const d = draw(random);
      const lossy: Partial<IpFields> = {
        id: random.below(65536),
        dontFragment: random.below(2) === 0,
        options: random.below(4) === 0 ? ROUTER_ALERT : undefined,
      };
      const checksum = (["right", "right", "half", "none"] as const)[random.below(4)];
      const usable = checksum === "none" && d.kind === "tcp" ? "right" : checksum;
      const six = right(translator.to6(packet4(d, d.dstPort, lossy, usable), tupleOf(d, 6, d.newPort)));
      const back = right(translator.to4(six, tupleOf(d, 4, d.dstPort)));
      const expected = packet4(d, d.dstPort, { id: IDENTIFICATION, dontFragment: back.length > 1260 });
      assertEquals(hexLines(back), hexLines(expected));
    }
  });
});

Deno.test("translate64() then translate46() gives back the IPv6 packet, less what RFC 7915 loses", () => {
  property((random) => {
    for (let round = 0; round < ROUNDS; round++) {
      const d = draw(random);
      const extensions = ALL_EXTENSIONS.filter(() => random.below(4) === 0);
      const whole = packet6(d, d.dstPort, extensions, random.below(65536), random.below(0x100000));
      const four = right(translator.to4(whole, tupleOf(d, 4, d.newPort)));
      const back = right(translator.to6(four, tupleOf(d, 6, d.dstPort)));
      assertEquals(hexLines(back), hexLines(packet6(d, d.dstPort, [], 0, 0)));
    }
  });
});

Deno.test("translateError46(), translateError64(): any bytes as error stay inside their frame", () => {
  property((random) => {
    const errors = ERROR_TRANSLATIONS.filter(({ way }) => way === "both");
    for (let round = 0; round < ROUNDS; round++) {
      const { four, six } = errors[random.below(errors.length)];
      const is4 = random.below(2) === 0;
      const packet = (is4 ? four : six).slice();
      // Behind the type, anywhere: lengths, quoted headers, extensions. The checksum is made right again.
      const start = is4 ? 20 : 40;
      for (let i = random.below(6); i > 0; i--) {
        const at = start + 4 + random.below(Math.min(packet.length - start - 4, 80));
        packet[at] = random.int32();
      }
      if (!quoteIsUsable(packet, start + 8, is4)) continue;
      fixChecksum(packet, start, is4);
      // The translator itself throws when bytes outside were written.
      const result = is4
        ? translator.errorTo6(packet, asSent(6, false))
        : translator.errorTo4(packet, asSent(4, false));
      if (typeof result !== "number") right(result);
    }
  });
});

/** Whether the quote is one that the datapath would look up: version, header length, eight bytes behind it. */
function quoteIsUsable(packet: Uint8Array, quote: number, is4: boolean): boolean {
  if (!is4) return packet[quote] >>> 4 === 6 && [6, 17, 47, 132].includes(packet[quote + 6]);
  const headerBytes = (packet[quote] & 15) * 4;
  return packet[quote] >>> 4 === 4 && headerBytes >= 20 && quote + headerBytes + 8 <= packet.length;
}

function fixChecksum(packet: Uint8Array, start: number, is4: boolean): void {
  const [type, code] = packet.subarray(start);
  const rest = new DataView(packet.buffer).getUint32(start + 4);
  const payload = packet.slice(start + 8);
  const made = is4
    ? buildPacket({ src: "203.0.113.9", dst: "192.0.2.33" }, icmp({ type, code, rest, payload }))
    : buildPacket({ src: "2001:db8:9::9", dst: "2001:db8:1c6::21" }, icmpv6({ type, code, rest, payload }));
  packet.set(made.subarray(start), start);
}
