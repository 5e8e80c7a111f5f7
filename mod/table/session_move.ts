/**
 * Sessions to a table of another size.
 *
 * Rule: the filter counts them in the new table before it stops counting them in the old one, so that none looks ended meanwhile.
 * Other threads may go on reading the old table.
 */

import { SESSION_ORIGINAL, type SessionTable } from "./session.ts";

/**
 * Gives the timeouts and the live sessions of `old` to `next` (same address width, empty); returns how many did not fit. `old` must not
 * be written after this.
 */
export function moveSessions(old: SessionTable, next: SessionTable, now: number): number {
  if (old.addressWords !== next.addressWords) throw new TypeError("session tables of different width");
  let lost = 0;
  next.timeouts.set(old.timeouts);
  old.forEach(now, (from) => {
    for (let i = 0; i < next.key.length; i++) {
      next.key[i] = old.words[from + SESSION_ORIGINAL + i];
      next.replyKey[i] = old.words[from + next.replyAt + i];
    }
    const to = next.insert(old.protocol(from), now);
    if (to < 0) lost++;
    else for (let i = 0; i < SESSION_ORIGINAL; i++) next.words[to + i] = old.words[from + i];
  });
  old.leaveFilter();
  return lost;
}
