/**
 * The few words that the control plane and one worker share beside messages (an Int32Array over a
 * SharedArrayBuffer). Each word has one writer, named below; both sides use Atomics. Those of the two writers lie two cache lines apart
 * from each other and from what the allocator puts around the buffer (another worker's words, for one).
 *
 * @module
 */

/** Messages posted to the worker so far (control plane writes). Differs from those handled: leave the burst loop. */
export const WORD_SENT = 32;
/** Generation to run from the next burst on (control plane writes); the worker has been given its tables before. */
export const WORD_ACTIVE_GENERATION = 33;
/** Free frames of the worker's UMEM (worker writes, when idle and once a second). */
export const WORD_FREE_FRAMES = 64;
/** Bursts with at least one packet (worker writes; wraps). */
export const WORD_BURSTS = 65;
/** Times the worker went to sleep in poll(2) (worker writes; wraps). */
export const WORD_SLEEPS = 66;

export const CONTROL_WORDS_BYTES = 128 * 4;
