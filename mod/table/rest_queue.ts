/** Numbers that wait, in the order in which they came, each with the second it came in; at most `capacity` at a time. */
export class RestQueue {
  readonly #numbers: Int32Array;
  readonly #seconds: Int32Array;
  #first = 0;
  #length = 0;

  constructor(capacity: number) {
    this.#numbers = new Int32Array(capacity);
    this.#seconds = new Int32Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Second in which the first one came; there must be one, as for `shift`. */
  get since(): number {
    return this.#seconds[this.#first];
  }

  push(number: number, second: number): void {
    const place = (this.#first + this.#length) % this.#numbers.length;
    this.#numbers[place] = number;
    this.#seconds[place] = second;
    this.#length++;
  }

  shift(): number {
    const number = this.#numbers[this.#first];
    this.#first = (this.#first + 1) % this.#numbers.length;
    this.#length--;
    return number;
  }

  /** The one that `i` others came before. */
  at(i: number): number {
    return this.#numbers[(this.#first + i) % this.#numbers.length];
  }
}
