/**
 * Which session makes room for a new one, when there is none: an expired one, else a connection that both ends have closed, the one silent
 * for longest. Such a connection is kept for packets that come late (RFC 5382 REQ-5 has four minutes), which is worth less than a
 * session for a new one; nf_conntrack does likewise (net/netfilter/nf_conntrack_core.c early_drop, nf_conntrack_proto_tcp.c
 * tcp_can_early_drop).
 */

import * as layout from "./session_layout.ts";

/** IP's number of TCP: states are its alone. */
const IP_PROTOCOL_TCP = 6;

const BOTH_FINS = layout.SESSION_NOTE_FIN_ORIGINAL | layout.SESSION_NOTE_FIN_REPLY;
/** Nothing more for so long after an RST: it was no forged one, of a connection that goes on. */
const RESET_SECONDS = 10;

/** Where to look, and the best found so far. A table has one, and uses it again. */
export class Victim {
  readonly #words: Int32Array;
  readonly #ending: layout.SessionEnding | null;
  #entry = -1;
  #silence = -1;

  constructor(words: Int32Array, ending: layout.SessionEnding | null) {
    this.#words = words;
    this.#ending = ending;
  }

  /** Forgets what was looked at. */
  begin(): void {
    this.#entry = this.#silence = -1;
  }

  /** Looks at the session at `entry`, which is in use. True: it has expired, and a better one is not to be found. */
  look(entry: number, now: number): boolean {
    const expired = layout.isExpired(this.#words, entry, now);
    const silence = (now - this.#words[entry + layout.SESSION_LAST_SEEN]) | 0;
    if (!expired && (silence <= this.#silence || !this.#isClosed(entry, silence))) return false;
    this.#entry = entry;
    this.#silence = silence;
    return expired;
  }

  /** Entry of the one to be freed; -1 if there is none. */
  get entry(): number {
    return this.#entry;
  }

  /** Whether both ends have closed the connection, or one has broken it off. The kernel may know and not yet have told. */
  #isClosed(entry: number, silence: number): boolean {
    const kind = this.#words[entry];
    if (kind >>> 24 !== IP_PROTOCOL_TCP) return false;
    if (((kind >>> 16) & 0xff) === layout.SESSION_STATE_CLOSING) {
      return (this.#words[entry + layout.SESSION_NOTE] & BOTH_FINS) === BOTH_FINS || silence >= RESET_SECONDS;
    }
    const flow = this.#words[entry + layout.SESSION_OFFLOAD] - 1;
    return flow >= 0 && this.#ending !== null && this.#ending.isClosed(flow);
  }
}
