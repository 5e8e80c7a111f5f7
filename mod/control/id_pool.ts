/**
 * Small numbers given out and taken back: service ids, pod ids, slots. The lowest free one comes first, so that tables
 * indexed by them stay short.
 *
 * @module
 */

export class IdPool {
  readonly #first: number;
  readonly #limit: number;
  #next: number;
  /** Given back, highest first. */
  readonly #free: number[] = [];
  #sorted = true;

  /** Numbers from `first` up to, and not including, `limit`. */
  constructor(first: number, limit: number) {
    this.#first = first;
    this.#limit = limit;
    this.#next = first;
  }

  /** A free number, or -1 when all are in use. */
  take(): number {
    if (this.#free.length > 0) {
      if (!this.#sorted) this.#free.sort((a, b) => b - a);
      this.#sorted = true;
      return this.#free.pop()!;
    }
    return this.#next < this.#limit ? this.#next++ : -1;
  }

  /** Takes this number, which nobody has. */
  reserve(id: number): void {
    while (this.#next <= id) this.put(this.#next++);
    this.#free.splice(this.#free.indexOf(id), 1);
  }

  put(id: number): void {
    this.#free.push(id);
    this.#sorted = false;
  }

  /** How many numbers are in use. */
  get used(): number {
    return this.#next - this.#first - this.#free.length;
  }

  /** One more than the highest number ever in use. */
  get end(): number {
    return this.#next;
  }
}
