/** What session_writer.ts writes and session_thread_test.ts expects to read. */

/** Words of the reply tuple of session n; the original tuple and the meta words follow from n and `round`. */
export function replyWord(n: number, index: number): number {
  return Math.imul(n + 1, 0x9e3779b1) ^ index;
}

export function derivedWord(n: number, round: number, index: number): number {
  return Math.imul(round, 0x85ebca6b) ^ Math.imul(n, 31) ^ index;
}

export interface WriterOrder {
  buffer: SharedArrayBuffer;
  sessions: number;
  /** Word 0: 0 = go on, 1 = stop. */
  flag: SharedArrayBuffer;
}
