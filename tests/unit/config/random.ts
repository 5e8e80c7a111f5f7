/** Pseudo-random choices that a failing test can repeat: the same seed makes the same test. xorshift32. */
export class Random {
  #state: number;

  constructor(readonly seed: number) {
    // Xorshift never leaves 0, and neighboring seeds should not start alike.
    this.#state = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x6b75) | 0 || 1;
    for (let warmUp = 0; warmUp < 8; warmUp++) this.next();
  }

  /** The next 32 bits. */
  next(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }

  /** A whole number from 0 to `bound` − 1. */
  below(bound: number): number {
    return this.next() % bound;
  }

  /** One of `items`. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}
