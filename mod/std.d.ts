/**
 * Types of the standard library functions ku uses. The npm package `deno-std` holds the library as plain
 * JavaScript, so the declarations are here, under the names the source files import; deno.json names this file
 * in `compilerOptions.types`. With the library taken from JSR, which brings its own types, this file goes.
 *
 * Rule: only what is used, and no looser than the original.
 * Reference: the documentation of @std/assert.
 */

declare module "@std/assert" {
  /** Any class whose instances are `E`, whatever its constructor takes. */
  type ErrorClass<E extends Error> = abstract new (...args: never[]) => E;

  /** What every failed assertion throws. */
  export class AssertionError extends Error {
    constructor(message: string, options?: ErrorOptions);
  }

  export function assert(condition: unknown, message?: string): asserts condition;
  export function assertFalse(condition: unknown, message?: string): asserts condition is false;
  export function assertExists<T>(actual: T, message?: string): asserts actual is NonNullable<T>;
  export function fail(message?: string): never;

  /** Deep equality; typed arrays, maps and sets included. */
  export function assertEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertNotEquals<T>(actual: T, expected: T, message?: string): void;
  export function assertStrictEquals<T>(actual: unknown, expected: T, message?: string): asserts actual is T;
  /** Deep equality as a question. */
  export function equal(a: unknown, b: unknown): boolean;

  /** Within `tolerance`, by default 1e-7 of `expected`. */
  export function assertAlmostEquals(
    actual: number,
    expected: number,
    tolerance?: number,
    message?: string,
  ): void;
  export function assertGreater<T>(actual: T, expected: T, message?: string): void;
  export function assertGreaterOrEqual<T>(actual: T, expected: T, message?: string): void;
  export function assertLess<T>(actual: T, expected: T, message?: string): void;
  export function assertLessOrEqual<T>(actual: T, expected: T, message?: string): void;

  export function assertStringIncludes(actual: string, expected: string, message?: string): void;
  export function assertMatch(actual: string, expected: RegExp, message?: string): void;
  export function assertNotMatch(actual: string, expected: RegExp, message?: string): void;
  export function assertArrayIncludes<T>(
    actual: ArrayLike<T>,
    expected: ArrayLike<T>,
    message?: string,
  ): void;
  export function assertInstanceOf<T>(
    actual: unknown,
    expected: abstract new (...args: never[]) => T,
    message?: string,
  ): asserts actual is T;

  /** Returns what `fn` threw. */
  export function assertThrows(fn: () => unknown, message?: string): unknown;
  export function assertThrows<E extends Error>(
    fn: () => unknown,
    errorClass: ErrorClass<E>,
    messageIncludes?: string,
    message?: string,
  ): E;

  /** Returns what the promise of `fn` was rejected with. A synchronous throw is a failure. */
  export function assertRejects(fn: () => PromiseLike<unknown>, message?: string): Promise<unknown>;
  export function assertRejects<E extends Error>(
    fn: () => PromiseLike<unknown>,
    errorClass: ErrorClass<E>,
    messageIncludes?: string,
    message?: string,
  ): Promise<E>;
}
