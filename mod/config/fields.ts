/**
 * Reads objects that came from outside (a file, the socket) key by key, with the path of each key in its errors.
 *
 * Rule: a key is read once with its type or it is an error; after `end()` no unknown key has gone unnoticed.
 * Absent and null are told apart, because null is a value ("no port"). The meaning of values is judged elsewhere.
 */

import { ConfigError } from "./model.ts";

/** What an error about a key that should not be there has as its value. */
export const UNKNOWN_KEY = "unknown key";

export class Fields {
  readonly #object: Record<string, unknown>;
  /** Keys that were asked for; a list, since they are few and a file of services has ten thousands of maps. */
  readonly #known: string[] = [];

  /** `path` names the object in errors: "" for the whole, else such as "vips[3]". */
  constructor(value: unknown, readonly path: string, whole = "document") {
    if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Date) {
      throw new ConfigError(path || whole, describe(value), "give a map of keys to values");
    }
    this.#object = value as Record<string, unknown>;
  }

  /** The value as it stands; undefined when absent. */
  raw(key: string): unknown {
    this.#known.push(key);
    return Object.hasOwn(this.#object, key) ? this.#object[key] : undefined;
  }

  /** Path of a key: "vips[3].port". */
  at(key: string): string {
    return this.path ? `${this.path}.${key}` : key;
  }

  string(key: string): string | undefined {
    const value = this.raw(key);
    if (value === undefined || typeof value === "string") return value;
    throw new ConfigError(this.at(key), describe(value), "give a text (in quotes if need be)");
  }

  number(key: string): number | undefined {
    const value = this.raw(key);
    if (value === undefined || typeof value === "number") return value;
    throw new ConfigError(this.at(key), describe(value), "give a number");
  }

  boolean(key: string): boolean | undefined {
    const value = this.raw(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw new ConfigError(this.at(key), describe(value), "give true or false");
  }

  /** A list; absent is an empty one, and so is null (a YAML key with nothing behind it). */
  list(key: string): unknown[] {
    const value = this.raw(key) ?? [];
    if (!Array.isArray(value)) throw new ConfigError(this.at(key), describe(value), "give a list");
    return value;
  }

  nullableString(key: string): string | null | undefined {
    const value = this.raw(key);
    return value === null || typeof value === "string" ? value : this.string(key);
  }

  nullableNumber(key: string): number | null | undefined {
    const value = this.raw(key);
    return value === null || typeof value === "number" ? value : this.number(key);
  }

  /** A text that must be there. */
  requiredString(key: string): string {
    const value = this.string(key);
    if (value === undefined) throw new ConfigError(this.at(key), "missing", "give a text");
    return value;
  }

  /** Every key has to have been read by now. */
  end(): void {
    for (const key in this.#object) {
      if (this.#known.includes(key) || !Object.hasOwn(this.#object, key)) continue;
      throw new ConfigError(this.at(key), UNKNOWN_KEY, `use one of ${[...new Set(this.#known)].join(", ")}`);
    }
  }
}

/** `object` without the keys whose value is undefined, so that absent stays absent in comparisons and JSON. */
export function withoutUndefined<T extends object>(object: T): T {
  const given: Partial<T> = {};
  for (const key in object) if (object[key] !== undefined) given[key] = object[key];
  return given as T;
}

/** A value from outside as an error shows it. */
function describe(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "missing";
  if (typeof value === "object") return Array.isArray(value) ? "a list" : "a map";
  return JSON.stringify(value) ?? typeof value;
}
