/** Checksum arithmetic against a slow model, and RFC 1624 updates against full recomputation. */

import { assertEquals } from "@std/assert";
import * as checksum from "../../../mod/wire/checksum.ts";
import {
  udpChecksumApply,
  udpChecksumOut,
  udpChecksumUpdate16,
  udpChecksumUpdate32,
} from "../../../mod/wire/udp.ts";
import { pattern, pseudoHeader, slowSum } from "../../packets/builder.ts";
import { property } from "../../packets/random.ts";

const { checksumUpdate16, checksumUpdate32, fold, sumBytes } = checksum;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

Deno.test("sumBytes: the example of RFC 1071 §3", () => {
  const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  assertEquals(fold(sumBytes(viewOf(bytes), 0, 8)), 0xddf2);
  assertEquals(checksum.checksumOf(sumBytes(viewOf(bytes), 0, 8)), ~0xddf2 & 0xffff);
});

Deno.test("sumBytes agrees with a slow sum for all lengths from 0 to 2048, at every alignment", () => {
  property((random) => {
    const bytes = random.bytes(2064);
    for (let length = 0; length <= 2048; length++) {
      const at = length % 8;
      const expected = slowSum(bytes.subarray(at, at + length));
      if (fold(sumBytes(viewOf(bytes), at, length)) !== expected) {
        throw new Error(`length ${length} at ${at}`);
      }
    }
  });
});

Deno.test("sumBytes is exact for the longest and largest of inputs, and adds to what was there", () => {
  for (const fill of [0x00, 0xff, 0x80, 0x7f, 0x01]) {
    for (const length of [65535, 65536, checksum.SUM_MAX_BYTES - 1, checksum.SUM_MAX_BYTES]) {
      const bytes = new Uint8Array(length).fill(fill);
      assertEquals(fold(sumBytes(viewOf(bytes), 0, length)), slowSum(bytes), `${length} bytes of ${fill}`);
    }
  }
  const bytes = pattern(100);
  const parts = sumBytes(viewOf(bytes), 40, 60, sumBytes(viewOf(bytes), 0, 40));
  assertEquals(fold(parts), slowSum(bytes));
  assertEquals(fold(sumBytes(viewOf(bytes), 0, 100, 0x7fff0000)), slowSum(bytes, 0x7fff));
});

Deno.test("sumBytes keeps the two zeros apart: only nothing but zeros sums to 0", () => {
  assertEquals(fold(sumBytes(viewOf(new Uint8Array(40)), 0, 40)), 0);
  assertEquals(fold(sumBytes(viewOf(new Uint8Array(40).fill(0xff)), 0, 40)), 0xffff);
});

Deno.test("fold takes any sum below 2^32", () => {
  property((random) => {
    for (let i = 0; i < 100_000; i++) {
      const sum = i < 3 ? [0xffffffff, 0xffff0000, 0x0001fffe][i] : random.int32() >>> 0;
      const expected = sum === 0 ? 0 : (sum - 1) % 0xffff + 1;
      if (fold(sum) !== expected) throw new Error(`fold(${sum})`);
    }
  });
});

Deno.test("pseudoHeaderSum4, pseudoHeaderSum6 are the sums of the written-out pseudo-headers", () => {
  property((random) => {
    for (let i = 0; i < 1000; i++) {
      const packet = random.bytes(48);
      const length = random.below(65536);
      const protocol = random.below(256);
      const four = pseudoHeader(packet.slice(14, 18), packet.slice(18, 22), protocol, length);
      assertEquals(fold(checksum.pseudoHeaderSum4(viewOf(packet), 2, protocol, length)), slowSum(four));
      const six = pseudoHeader(packet.slice(10, 26), packet.slice(26, 42), protocol, length);
      assertEquals(fold(checksum.pseudoHeaderSum6(viewOf(packet), 2, protocol, length)), slowSum(six));
    }
  });
});

Deno.test("checksumUpdate16, checksumUpdate32: 300,000 random rewrites end where full recomputation does", () => {
  property((random) => {
    const bytes = new Uint8Array(20);
    const view = viewOf(bytes);
    const whole = () => {
      view.setUint16(10, 0);
      return ~slowSum(bytes) & 0xffff;
    };
    for (let i = 0; i < 300_000; i++) {
      if (i % 100 === 0) { for (let at = 0; at < 20; at += 4) view.setInt32(at, random.int32()); }
      const before = whole();
      const at = [0, 2, 4, 6, 8, 12, 14, 16, 18][random.below(9)];
      const extreme = random.below(4) === 0 ? [0, -1, 0xffff, -65536][random.below(4)] : random.int32();
      let updated: number;
      if (random.below(2) === 0 || at === 8 || at === 18) {
        const old = view.getUint16(at);
        view.setUint16(at, extreme & 0xffff);
        updated = checksumUpdate16(before, old, extreme & 0xffff);
      } else {
        const old = view.getInt32(at);
        view.setInt32(at, extreme);
        updated = checksumUpdate32(
          before,
          i % 2 === 0 ? old : old >>> 0,
          i % 3 === 0 ? extreme : extreme >>> 0,
        );
      }
      const after = whole();
      // All data zero is the one case in which the two zeros of one's complement differ: no packet is.
      if (updated !== after && slowSum(bytes) !== 0) {
        throw new Error(`rewrite ${i}: ${updated} is not ${after}`);
      }
    }
  });
});

Deno.test("checksumUpdate16: an unchanged field leaves every checksum, save 0xffff, which becomes the other zero", () => {
  for (let value = 0; value < 0x10000; value++) {
    const updated = checksumUpdate16(value, 0x1234, 0x1234);
    if (updated !== (value === 0xffff ? 0 : value)) throw new Error(`${value} became ${updated}`);
    const zero = checksumUpdate16(value, 0, 0);
    if (zero !== updated) throw new Error(`${value} became ${zero} with a field of 0`);
  }
});

Deno.test("checksumApply: several differences at once equal one update after another", () => {
  property((random) => {
    for (let i = 0; i < 20_000; i++) {
      const start = random.below(0xffff);
      const [a, b, c, d] = [random.int32(), random.int32(), random.below(65536), random.below(65536)];
      const stepwise = checksumUpdate16(checksumUpdate32(start, a, b), c, d);
      const difference = checksum.differenceSum32(a, b) + checksum.differenceSum16(c, d);
      if (checksum.checksumApply(start, difference) !== stepwise) throw new Error(`${[start, a, b, c, d]}`);
    }
  });
});

Deno.test("a wrong checksum stays wrong by the same amount when its packet is rewritten", () => {
  property((random) => {
    for (let i = 0; i < 20_000; i++) {
      const right = random.below(0xffff);
      const wrong = (right + 1 + random.below(0xfffd)) % 0xffff; // another value, none of them 0xffff
      const [a, b] = [random.int32(), random.int32()];
      const distance = (x: number, y: number) => (x - y + 0xffff) % 0xffff;
      const after = distance(checksumUpdate32(wrong, a, b), checksumUpdate32(right, a, b));
      if (after !== distance(wrong, right) || after === 0) throw new Error(`${[right, wrong, a, b]}`);
    }
  });
});

Deno.test("UDP: a checksum of 0 stays none, and no update results in 0", () => {
  assertEquals(udpChecksumUpdate16(0, 1, 2), 0);
  assertEquals(udpChecksumUpdate32(0, 1, 2), 0);
  assertEquals(udpChecksumApply(0, 77), 0);
  assertEquals([udpChecksumOut(0), udpChecksumOut(0x1234)], [0xffff, 0x1234]);
  // ~(~0x0001 + ~0x0000 + 0x0001) = 0 in plain arithmetic: sent as 0xffff.
  assertEquals(checksumUpdate16(0x0001, 0x0000, 0x0001), 0);
  assertEquals(udpChecksumUpdate16(0x0001, 0x0000, 0x0001), 0xffff);
  assertEquals(udpChecksumUpdate32(0x0001, 0x00000000, 0x00000001), 0xffff);
  assertEquals(udpChecksumApply(0x0001, checksum.differenceSum16(0, 1)), 0xffff);
});
