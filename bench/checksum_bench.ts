/** Checksums: ns a sum by length, and an RFC 1624 update. `deno bench -A bench/checksum_bench.ts` */

import {
  checksumApply,
  checksumUpdate16,
  checksumUpdate32,
  differenceSum32,
  sumBytes,
} from "../mod/wire/checksum.ts";
import { Random } from "../tests/packets/random.ts";
import { bench } from "./micro/case.ts";

const COUNT = 16_384;

const random = new Random(1);
const view = new DataView(random.bytes(1024 + 9000).buffer);
const words = Int32Array.from({ length: COUNT + 2 }, () => random.int32());

function update(what: string, next: (checksum: number, i: number) => number): void {
  bench("checksum update", { what }, COUNT, () => ({
    run: () => {
      let checksum = 0x1234;
      for (let i = 0; i < COUNT; i++) checksum = next(checksum, i);
      return checksum;
    },
  }));
}

for (const bytes of [20, 60, 576, 1480, 8960]) {
  bench("checksum sum", { bytes }, COUNT, () => ({
    run: () => {
      let sum = 0;
      for (let i = 0; i < COUNT; i++) sum = (sum + sumBytes(view, i & 1023, bytes)) | 0;
      return sum;
    },
  }), bytes > 1000 ? 20 : 60);
}
update("16 bits", (checksum, i) => checksumUpdate16(checksum, words[i] & 0xffff, words[i + 1] & 0xffff));
update("32 bits", (checksum, i) => checksumUpdate32(checksum, words[i], words[i + 1]));
update("address and ports at once", (checksum, i) => {
  const difference = differenceSum32(words[i], words[i + 1]) + differenceSum32(words[i + 1], words[i + 2]);
  return checksumApply(checksum, difference);
});
