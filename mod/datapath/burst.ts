/**
 * A burst: packets that are processed together. What memory a packet needs is known only after several steps, each of which waits for
 * the one before (the header names the bucket, the bucket the session, the session the pod's counters). One packet after the other would
 * wait for all of them. A burst takes each step for all its packets, so that the processor waits for many at a time.
 *
 * The arrays are the worker's to fill and the datapath's to read; the guesses say where the sessions probably are. Nothing is decided
 * by them: what is found there is compared, and may have changed since, by a packet before it in the same burst.
 *
 * @module
 */

/** Packets of a burst, at most. */
export const BURST_PACKETS = 64;

/** No guess: words of a session table's header that are always 0, so that looking there does no harm. */
export const GUESS_NONE = 44;
/** Set in a guess that was made by the reply tuple. Session tables stay below 2^30 words. */
export const GUESS_REPLY = 1 << 30;
/** What is left is the entry. */
export const GUESS_ENTRY = GUESS_REPLY - 1;

export class Burst {
  /** Byte where each packet begins. */
  readonly ats = new Int32Array(BURST_PACKETS);
  readonly lengths = new Int32Array(BURST_PACKETS);
  /** Slot it came in by, 0 … 4094. */
  readonly slots = new Int32Array(BURST_PACKETS);
  /** Slot it goes out by, of packets that were forwarded by `Processor.forward`; `ats` and `lengths` are the same. */
  readonly outSlots = new Int32Array(BURST_PACKETS);
  /** Keyed hash of the packet's tuple. */
  readonly hashes = new Int32Array(BURST_PACKETS);
  /** First word of each index that the hash names: tags of the bucket; 0 or the first slot of the reply line. */
  readonly tags = new Int32Array(BURST_PACKETS);
  readonly replies = new Int32Array(BURST_PACKETS);
  /** By family: GUESS_NONE, or an entry of its session table, perhaps with GUESS_REPLY. Packets of the other have any guess or none. */
  readonly guesses4 = new Int32Array(BURST_PACKETS);
  readonly guesses6 = new Int32Array(BURST_PACKETS);
  /** Packets of either family; others are neither's. */
  count4 = 0;
  count6 = 0;
  /** Packets without a guess, one after the other. */
  readonly fresh = new Int32Array(BURST_PACKETS);
  // By packet, of those: what is foreseen for them (foresee4.ts). The service, its pod or -1, the keyed hash of the reply tuple, the word
  // of the filter that counts it.
  readonly foreseenServices = new Int32Array(BURST_PACKETS);
  readonly foreseenPods = new Int32Array(BURST_PACKETS);
  readonly foreseenReplies = new Int32Array(BURST_PACKETS);
  readonly foreseenAnswers = new Int32Array(BURST_PACKETS);
  /** What was read ahead comes together here, so that no compiler finds it idle. */
  readonly readAhead = new Float64Array(1);
}

/** The thread's burst: a worker works on one at a time. A constant, so that compiled code knows where its arrays are. */
export const burst: Burst = new Burst();
