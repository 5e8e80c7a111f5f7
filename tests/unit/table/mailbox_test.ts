/** The ring of reports between two workers: in order, complete, whole; beside a slow model, and between two threads. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Mailbox, REPORT_END, REPORT_ORIGINAL, REPORT_REPLY } from "../../../mod/table/mailbox.ts";
import { property } from "../../packets/random.ts";
import { reportWord, type SenderOrder } from "./mailbox_pattern.ts";

const REPORTS = 200_000;

Deno.test("Mailbox agrees with an array under random puts and takes", () => {
  property((random) => {
    const sender = Mailbox.create(16);
    const receiver = new Mailbox(sender.buffer);
    const model: unknown[][] = [];
    let refused = 0;
    for (let step = 0; step < 50_000; step++) {
      if (random.below(2) === 0) {
        const width = random.below(2) === 0 ? 3 : 9;
        const tuple = Int32Array.from({ length: 2 + width }, () => random.int32());
        const [kind, protocol, flags, pod] = [
          1 + random.below(3),
          random.below(256),
          random.below(256),
          step,
        ];
        assertEquals(sender.put(kind, protocol, flags, pod, tuple, 2, width), model.length < 16);
        if (model.length === 16) refused++;
        else model.push([kind, protocol, flags, pod, [...tuple.subarray(2)]]);
        continue;
      }
      const known = model.shift();
      assertEquals(receiver.take(), known !== undefined);
      if (known === undefined) continue;
      const { kind, protocol, flags, pod, tuple, width } = receiver;
      assertEquals([kind, protocol, flags, pod, [...tuple.subarray(0, width)]], known);
    }
    assert(refused > 100, `${refused} refused: the test tests little`);
  });
});

Deno.test("Mailbox asks to wake its reader when it is half full, or at once for what is urgent", () => {
  const sender = Mailbox.create(8);
  const tuple = new Int32Array(3);
  for (let i = 0; i < 4; i++) sender.put(REPORT_REPLY, 6, 16, 1, tuple, 0, 3);
  assertEquals(sender.wakes, false);
  sender.put(REPORT_ORIGINAL, 6, 16, 1, tuple, 0, 3);
  assertEquals(sender.wakes, true);
  const other = Mailbox.create(8);
  other.put(REPORT_END, 6, 2, 1, tuple, 0, 3);
  assertEquals(other.wakes, true);
  assertThrows(() => Mailbox.create(12), RangeError);
});

Deno.test("Mailbox between two threads: every report once, in order, whole", async () => {
  const receiver = Mailbox.create(32);
  const sender = new Worker(new URL("./mailbox_sender.ts", import.meta.url), { type: "module" });
  const sent = new Promise((resolve) => sender.onmessage = resolve);
  sender.postMessage({ buffer: receiver.buffer, reports: REPORTS } satisfies SenderOrder);
  let torn = 0;
  let next = 0;
  const deadline = performance.now() + 30_000;
  while (next < REPORTS && performance.now() < deadline) {
    if (!receiver.take()) {
      // The sender has to start, and needs a core too.
      await new Promise((resolve) => setTimeout(resolve, 0));
      continue;
    }
    const { width, tuple, pod } = receiver;
    if (pod !== next || width !== (next % 2 === 0 ? 3 : 9)) torn++;
    for (let i = 0; i < width; i++) if (tuple[i] !== reportWord(next, i)) torn++;
    next++;
  }
  assertEquals([next, torn], [REPORTS, 0]);
  await sent;
  sender.terminate();
});
