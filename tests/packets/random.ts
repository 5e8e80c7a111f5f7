/** Pseudo-random numbers that a failing test can repeat: the same seed makes the same test. Not for anything but tests and benches. */

/** mulberry32. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  int32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let value = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return value ^ (value >>> 14);
  }

  /** 0 … limit - 1. */
  below(limit: number): number {
    return Math.floor((this.int32() >>> 0) / 2 ** 32 * limit);
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.int32() & 0xff);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** Shuffles in place, and returns it. */
  shuffle<T>(list: T[]): T[] {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [list[i], list[j]] = [list[j], list[i]];
    }
    return list;
  }
}

/** Seed of this run: KU_TEST_SEED if it is set, otherwise always the same. */
export const TEST_SEED = Number(Deno.env.get("KU_TEST_SEED") ?? 20250101);

/** Runs a property with its own random source; a failure names the seed that repeats it. */
export function property(check: (random: Random) => void): void {
  try {
    check(new Random(TEST_SEED));
  } catch (error) {
    if (error instanceof Error) error.message = `KU_TEST_SEED=${TEST_SEED}: ${error.message}`;
    throw error;
  }
}
