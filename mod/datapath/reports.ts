/**
 * Other workers' reports about this worker's sessions, applied as if the packets had come here. See foreign.ts.
 *
 * @module
 */

import type { Mailbox } from "../table/mailbox.ts";
import { REPORT_END, REPORT_REPLY } from "../table/mailbox.ts";
import { SESSION_NOTE, SESSION_OFFLOAD, SESSION_POD } from "../table/session.ts";
import type { Context } from "./context.ts";
import { offloadSession, withdrawSession } from "./offload.ts";
import { tcpNotes, tcpState } from "./tcp_state.ts";

/** The TCP bits of SESSION_NOTE. */
const NOTE_MASK = 0xff;

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
  const words = table.words;
  if (words[entry + SESSION_OFFLOAD] > 0) withdrawSession(c, table, entry); // see `advance`
  const state = table.state(entry);
  const note = words[entry + SESSION_NOTE];
  const notes = tcpNotes(note & NOTE_MASK, state, box.flags, box.kind === REPORT_REPLY);
  words[entry + SESSION_NOTE] = (note & ~NOTE_MASK) | notes;
  const next = tcpState(notes);
  if (next !== state) table.setState(entry, next);
  offloadSession(c, table, entry);
}
