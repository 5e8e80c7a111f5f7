/** Rows of next hops: each is written once, and again only when no flow has named it for a while. */

import { assert, assertEquals } from "@std/assert";
import { HopRows, SCRATCH_HOP_WORDS } from "../../../mod/table/offload_hops.ts";
import { createOffloadMemory, setOffloadEpoch } from "../../../mod/table/offload_memory.ts";
import * as layout from "../../../mod/table/offload_layout.ts";
import { property } from "../../packets/random.ts";

const FIRST = 8;
const ROWS = 4;

/** Slot, flags, MTU, MACs: as the datapath describes the hop to neighbor `n`. */
function hop(n: number): Int32Array {
  return Int32Array.of(1 + n % 3, 1, 1500, n, 0x02000000 | n, 7);
}

Deno.test("HopRows gives equal hops one row, others another, and none to no way", () => {
  const memory = createOffloadMemory(4);
  const rows = new HopRows(memory, FIRST, ROWS);
  const given = [1, 2, 1, 3, 2].map((n) => rows.rowFor(hop(n), 0, 0));
  assertEquals(given, [8, 9, 8, 10, 9]);
  assertEquals(rows.rowFor(new Int32Array(SCRATCH_HOP_WORDS), 0, 0), 0);
  assertEquals([rows.holds(9, hop(2), 0), rows.holds(9, hop(3), 0)], [true, false]);
  assert(rows.holds(0, new Int32Array(SCRATCH_HOP_WORDS), 0), "row 0 is none");
  const at = 9 * layout.HOP_WORDS;
  assertEquals([...memory.hops.subarray(at, at + 4)], [3, 1, 1500, layout.swap32(2)]);
  assertEquals(new HopRows(memory, 0, ROWS).rowFor(hop(1), 0, 0), 1, "row 0 is nobody's");
});

Deno.test("HopRows keeps rows that an earlier ku's flows name, whoever has the flows now", () => {
  const memory = createOffloadMemory(4);
  const before = new HopRows(memory, FIRST, ROWS);
  const named = [before.rowFor(hop(1), 0, 0), before.rowFor(hop(2), 0, 0)];
  setOffloadEpoch(memory, 5);
  memory.flows[7 * layout.FLOW_WORDS + layout.FLOW_EPOCH] = 5;
  memory.flows[7 * layout.FLOW_WORDS + layout.FLOW_KIND] = named[1] << layout.KIND_HOP_SHIFT;
  const rows = new HopRows(memory, FIRST, ROWS);
  assertEquals(rows.rowFor(hop(2), 0, 0), named[1], "found again");
  const others = [3, 4, 5].map((n) => rows.rowFor(hop(n), 0, 0));
  assertEquals(others, [8, 10, 11], "the row that no flow names is free");
  assert(rows.holds(named[1], hop(2), 0));
});

Deno.test("HopRows.refresh finds what an earlier ku has begun since", () => {
  const memory = createOffloadMemory(4);
  setOffloadEpoch(memory, 5);
  const before = new HopRows(memory, FIRST, ROWS), next = new HopRows(memory, FIRST, ROWS);
  const row = before.rowFor(hop(1), 0, 0);
  memory.flows[layout.FLOW_EPOCH] = 5;
  memory.flows[layout.FLOW_KIND] = row << layout.KIND_HOP_SHIFT;
  next.refresh();
  assertEquals([next.rowFor(hop(2), 0, 0), next.rowFor(hop(1), 0, 0)], [row + 1, row]);
});

Deno.test("HopRows.findBoth refuses when one of two hops finds no row", () => {
  const rows = new HopRows(createOffloadMemory(4), FIRST, 3);
  const both = (a: number, b: number) => Int32Array.of(...hop(a), ...hop(b));
  assertEquals([rows.findBoth(both(1, 2), 0), rows.original, rows.reply], [true, 8, 9]);
  assertEquals([rows.findBoth(both(3, 4), 0), rows.original, rows.reply], [false, 10, 0]);
  const oneWay = both(1, 2).fill(0, 0, SCRATCH_HOP_WORDS);
  assertEquals([rows.findBoth(oneWay, 0), rows.original, rows.reply], [true, 0, 9]);
});

Deno.test("HopRows never writes a row that a flow has named within two searches, and finds the others again", () =>
  property((random) => {
    const memory = createOffloadMemory(8);
    const rows = new HopRows(memory, FIRST, ROWS);
    const flows = new Map<number, number>();
    let full = 0, given = 0;
    setOffloadEpoch(memory, 3);
    for (let now = 0; now < 3000; now++) {
      const flow = random.below(4);
      const at = flow * layout.FLOW_WORDS;
      if (random.below(3) === 0) {
        flows.delete(flow);
        memory.flows[at + layout.FLOW_EPOCH] = 0;
      } else if (!flows.has(flow)) {
        const n = random.below(40);
        const row = rows.rowFor(hop(n), 0, now);
        if (row === 0) full++;
        else {
          given++;
          flows.set(flow, n);
          memory.flows[at + layout.FLOW_KIND] = row << layout.KIND_HOP_SHIFT;
          memory.flows[at + layout.FLOW_EPOCH] = 3;
        }
      }
      for (const [each, n] of flows) {
        const row = memory.flows[each * layout.FLOW_WORDS + layout.FLOW_KIND] >>> layout.KIND_HOP_SHIFT;
        assert(row >= FIRST && row < FIRST + ROWS && rows.holds(row, hop(n), 0), "as it was described");
      }
    }
    assert(given > 300 && full > 50, `${given} given, ${full} times none`);
  }));
