/**
 * Other workers' reports about this worker's sessions, applied as if the packets had come here. See foreign.ts.
 *
 * @module
 */

import type { Mailbox } from "../table/mailbox.ts";
import { REPORT_END, REPORT_REPLY } from "../table/mailbox.ts";
import { SESSION_OFFLOAD, SESSION_POD } from "../table/session.ts";
import type { Context } from "./context.ts";
import { offloadSession } from "./offload.ts";
import { moveConnection } from "./session_hit.ts";

/** Applies all there are. */
export function readReports(c: Context): void {
  const boxes = c.inboxes;
  for (let i = 0; i < boxes.length; i++) {
    while (boxes[i].take()) apply(c, boxes[i]);
  }
}

/** A session that has ended since, or was replaced by one to another pod, is not concerned. */
function apply(c: Context, box: Mailbox): void {
  const table = box.width === 3 ? c.sessions4 : c.sessions6;
  const key = table.key;
  for (let i = 0; i < box.width; i++) key[i] = box.tuple[i];
  const entry = table.findOriginal(box.protocol, c.now);
  if (entry < 0 || table.words[entry + SESSION_POD] !== box.pod) return;
  if (box.kind === REPORT_END) return table.remove(entry);
  moveConnection(c, table, entry, box.flags, box.kind === REPORT_REPLY);
  if (table.words[entry + SESSION_OFFLOAD] <= 0) offloadSession(c, table, entry);
}
