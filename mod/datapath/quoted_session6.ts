/**
 * The session of a packet that an error quotes, in the IPv6 table: of this worker, of the others, or an untracked flow.
 *
 * @module
 */

import { SESSION_ORIGINAL, SESSION_REPLY6, type SessionTable } from "../table/session.ts";
import type { Context } from "./context.ts";

/**
 * Looks up the tuple in `c.reply`, which is a quote's turned round; the tuple to write into the quote is then in `c.original`. False if
 * nobody has it.
 */
export function findQuoted6(c: Context, protocol: number): boolean {
  if (findIn6(c, c.sessions6, protocol)) return true;
  for (let i = 0; i < c.others6.length; i++) {
    if (findIn6(c, c.others6[i], protocol)) return true;
  }
  const overflow = c.overflow6;
  if (overflow === null) return false;
  overflow.key.set(c.reply);
  const entry = overflow.find(protocol, c.now);
  if (entry < 0) return false;
  copyTuple6(overflow.words, entry + SESSION_ORIGINAL, c.original);
  return true;
}

function findIn6(c: Context, sessions: SessionTable, protocol: number): boolean {
  sessions.key.set(c.reply);
  let entry = sessions.findReply(protocol, c.now);
  let tupleAt = SESSION_ORIGINAL;
  if (entry < 0) {
    entry = sessions.findOriginal(protocol, c.now);
    tupleAt = SESSION_REPLY6;
  }
  if (entry < 0) return false;
  copyTuple6(sessions.words, entry + tupleAt, c.original);
  return true;
}

function copyTuple6(words: Int32Array, at: number, to: Int32Array): void {
  for (let i = 0; i < 9; i++) to[i] = words[at + i];
}
