/**
 * States of a TCP session, seen from between its ends.
 *
 *   transitory   the handshake is under way: only one end has been heard, or the client has not gone on after the pod answered
 *   established  the client sent more after the pod was heard: a forged SYN alone gets no long life
 *   closing      both ends sent FIN, or one sent RST
 *
 * A forged RST must not shorten the life of a session that goes on: whatever follows it but RST restores the state before it. A SYN
 * on a closing session is a new connection from the same port, and is told to the caller, who picks a pod anew.
 *
 * References: RFC 5382 REQ-5, RFC 6146 §3.5.2.2 (states of a stateful translator), RFC 9293 §3.6.
 *
 * @module
 */

import * as session from "../table/session.ts";
import * as tcp from "../wire/tcp.ts";

// Own constants: see "Speed" in context.ts.
const {
  SESSION_NOTE_FIN_ORIGINAL,
  SESSION_NOTE_FIN_REPLY,
  SESSION_STATE_CLOSING,
  SESSION_STATE_ESTABLISHED,
  SESSION_STATE_TRANSITORY,
} = session;
const { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } = tcp;

/** Bits kept with a session (the low eight of SESSION_NOTE). */
export const TCP_NOTE_FIN_ORIGINAL = SESSION_NOTE_FIN_ORIGINAL;
export const TCP_NOTE_FIN_REPLY = SESSION_NOTE_FIN_REPLY;
export const TCP_NOTE_REPLY_SEEN = 4;
export const TCP_NOTE_ESTABLISHED = 8; // has been established: where to return to after a RST that was none
export const TCP_NOTE_RESET = 16;

const FINS = TCP_NOTE_FIN_ORIGINAL | TCP_NOTE_FIN_REPLY;

/** Flags of a segment that never moves an established session. */
export const TCP_MOVING_FLAGS = TCP_SYN | TCP_FIN | TCP_RST;

/** Whether a segment from the client begins a connection, though a session of its tuple is there. */
export function tcpRestarts(state: number, flags: number): boolean {
  return state === SESSION_STATE_CLOSING && (flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN;
}

/** The notes after a segment with `flags` from the pod (`reply`) or the client. */
export function tcpNotes(notes: number, state: number, flags: number, reply: boolean): number {
  if ((flags & TCP_RST) !== 0) return notes | TCP_NOTE_RESET;
  if (reply) notes |= TCP_NOTE_REPLY_SEEN;
  if ((flags & TCP_SYN) !== 0) return notes;
  notes &= ~TCP_NOTE_RESET;
  if ((flags & TCP_FIN) !== 0) notes |= reply ? TCP_NOTE_FIN_REPLY : TCP_NOTE_FIN_ORIGINAL;
  if (!reply && (notes & TCP_NOTE_REPLY_SEEN) !== 0 && state === SESSION_STATE_TRANSITORY) {
    notes |= TCP_NOTE_ESTABLISHED;
  }
  return notes;
}

/** The state that notes amount to. */
export function tcpState(notes: number): number {
  if ((notes & TCP_NOTE_RESET) !== 0 || (notes & FINS) === FINS) return SESSION_STATE_CLOSING;
  return (notes & TCP_NOTE_ESTABLISHED) !== 0 ? SESSION_STATE_ESTABLISHED : SESSION_STATE_TRANSITORY;
}
