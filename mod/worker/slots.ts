/**
 * Which interface a burst's packets came in by, where steering by tc has written it over the destination MAC.
 *
 * @module
 */

import { burst } from "../datapath/burst.ts";
import { SLOT_MAC_HI } from "./punt.ts";

const { ats, lengths, slots } = burst;

/** The highest slot: it travels in a VLAN id. */
export const MAX_SLOT = 4094;
/** Slot of frames that came from no interface. */
export const NO_SLOT = MAX_SLOT + 1;

/** On ku1 the destination MAC names the interface; anything else was not sent by the steering programs. */
export function readSlots(frames: DataView, count: number): void {
  for (let i = 0; i < count; i++) {
    const at = ats[i];
    const isOurs = lengths[i] >= 14 && frames.getUint32(at) === SLOT_MAC_HI;
    const slot = isOurs ? frames.getUint16(at + 4) : NO_SLOT;
    slots[i] = slot > MAX_SLOT ? NO_SLOT : slot;
  }
}

/** The first packet from `i` on of which no interface is named: it must not be forwarded like the others. */
export function namedUntil(i: number, count: number): number {
  while (i < count && slots[i] !== NO_SLOT) i++;
  return i;
}
