/**
 * Waiting on a condition with a deadline. Nobody sleeps a fixed time: they ask until it is so, or fail saying what was not.
 *
 * @module
 */

/** What a probe answers while the condition does not hold yet. */
export type NotYet = false | undefined | null;

/**
 * Asks `probe` every `intervalMs` until it answers something else than false, undefined or null, and returns that.
 * An exception of the probe counts as "not yet"; the last one is quoted when the deadline passes.
 */
export async function until<T>(
  what: string,
  probe: () => T | NotYet | Promise<T | NotYet>,
  deadlineMs = 10_000,
  intervalMs = 20,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  let last = "";
  while (true) {
    try {
      const answer = await probe();
      if (answer !== false && answer !== undefined && answer !== null) return answer;
    } catch (error) {
      last = `; last error: ${error instanceof Error ? error.message : String(error)}`;
    }
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain for ${what}${last}`);
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
