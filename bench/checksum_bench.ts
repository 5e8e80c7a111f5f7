/** Checksums: ns a sum by length, and an RFC 1624 update. `deno run bench/checksum_bench.ts [--quick]` */

import {
  checksumApply,
  checksumUpdate16,
  checksumUpdate32,
  differenceSum32,
  sumBytes,
} from "../mod/wire/checksum.ts";
import { measure, Random } from "./harness.ts";

const COUNT = 1024;

const random = new Random(1);
const view = new DataView(random.bytes(COUNT + 9000).buffer);
const words = Int32Array.from({ length: COUNT + 2 }, () => random.int32());

for (const length of [20, 60, 576, 1480, 8960]) {
  measure(`checksum sum, ${length} bytes`, COUNT, () => {
    let sum = 0;
    for (let i = 0; i < COUNT; i++) sum = (sum + sumBytes(view, i, length)) | 0;
    return sum;
  });
}
measure("checksum update, 16 bits", COUNT, () => {
  let checksum = 0x1234;
  for (let i = 0; i < COUNT; i++) {
    checksum = checksumUpdate16(checksum, words[i] & 0xffff, words[i + 1] & 0xffff);
  }
  return checksum;
});
measure("checksum update, 32 bits", COUNT, () => {
  let checksum = 0x1234;
  for (let i = 0; i < COUNT; i++) checksum = checksumUpdate32(checksum, words[i], words[i + 1]);
  return checksum;
});
measure("checksum update, address and ports at once", COUNT, () => {
  let checksum = 0x1234;
  for (let i = 0; i < COUNT; i++) {
    const difference = differenceSum32(words[i], words[i + 1]) + differenceSum32(words[i + 1], words[i + 2]);
    checksum = checksumApply(checksum, difference);
  }
  return checksum;
});
