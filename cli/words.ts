/**
 * Command lines in VPP's word style: bare words, a value after the word that wants one, in any order.
 *
 * Rule: wrong grammar (an unknown word, a word without its value, a word twice) is a UsageError and exit code 2;
 * a wrong value (port 70000, protocol icmp) is a ConfigError and exit code 1.
 */

import { ConfigError } from "../mod/config/model.ts";
import { type Description, type Form, usageOf, wordsOf } from "./spec.ts";
import { closest } from "./suggest.ts";

/** The words do not fit the command's grammar. The message is the command's usage line and, after it, the reason. */
export class UsageError extends Error {
  override name = "UsageError";
  constructor(readonly reason: string, readonly usage: string) {
    super(`usage: ${usage} (${reason})`);
  }
}

/** The error for words that do not fit `description`. */
export function usageError(description: Description, reason: string): UsageError {
  return new UsageError(reason, usageOf(description));
}

/** `: did you mean "vip"?`, or nothing when no candidate is near. */
export function hint(word: string, candidates: readonly string[]): string {
  const meant = closest(word, candidates);
  return meant === undefined ? "" : `: did you mean "${meant}"?`;
}

/** The words of a command's grammar, and those of them that may come again. */
interface Grammar {
  known: readonly string[];
  repeated: readonly string[];
}

/** By description, worked out once: a file for `ku exec` has ten thousands of lines of the same few commands. */
const grammars = new WeakMap<Description, Grammar>();

function grammarOf(description: Description): Grammar {
  let grammar = grammars.get(description);
  if (grammar === undefined) {
    const all = description.forms.flatMap(({ args }) => args);
    const repeated = all.filter((argument) => argument.repeated).flatMap(({ words = [] }) => words);
    grammar = { known: wordsOf(description), repeated };
    grammars.set(description, grammar);
  }
  return grammar;
}

/** Walks over the words of one command. */
export class WordReader {
  #at = 0;
  #seen: Set<string> = new Set();
  readonly #known: readonly string[];
  readonly #repeated: readonly string[];

  constructor(private readonly description: Description, private readonly words: readonly string[]) {
    const { known, repeated } = grammarOf(description);
    this.#known = known;
    this.#repeated = repeated;
  }

  /** The next word, undefined at the end. A word of the grammar may come once only, if it is not said to be repeated. */
  next(): string | undefined {
    const word = this.words[this.#at++];
    if (word === undefined) return undefined;
    if (this.#known.includes(word) && !this.#repeated.includes(word)) {
      if (this.#seen.has(word)) throw this.usage(`"${word}" is given twice`);
      this.#seen.add(word);
    }
    return word;
  }

  /**
   * Takes the words that a shape of the command begins with; the shape, and which of its words were chosen. A command
   * with several shapes takes the longest that fits.
   */
  form(): { form: Form; lead: string[] } {
    let left = [...this.description.forms];
    const lead: string[] = [];
    for (;;) {
      const word = this.words[this.#at];
      const longer = left.filter((form) => form.lead.length > lead.length);
      const next = longer.filter((form) =>
        word !== undefined && [form.lead[lead.length]].flat().includes(word)
      );
      if (next.length > 0) {
        left = next;
        lead.push(this.next()!);
        continue;
      }
      const done = left.find((form) => form.lead.length === lead.length);
      if (done !== undefined && (word === undefined || done.args.length > 0)) return { form: done, lead };
      if (word !== undefined) throw this.unknown(word);
      throw this.missing(
        longer.map((form) => [form.lead[lead.length]].flat().map((each) => `"${each}"`).join(" or "))[0],
      );
    }
  }

  /** The value after `word`, as text. */
  text(word: string): string {
    const value = this.words[this.#at++];
    if (value === undefined) throw this.usage(`"${word}" wants a value`);
    return value;
  }

  /** The value after `word`, as a whole number; its range is judged by the state. */
  number(word: string): number {
    return wholeNumber(word, this.text(word));
  }

  /** The value after `word` if a number comes next. */
  numberIfThere(word: string): number | null {
    return /^-?\d/.test(this.words[this.#at] ?? "") && !/[.:/]/.test(this.words[this.#at])
      ? this.number(word)
      : null;
  }

  /** Takes the value that comes next if it is `word`. */
  textIs(word: string): boolean {
    const is = this.words[this.#at] === word;
    if (is) this.#at++;
    return is;
  }

  /** A word that is no word of the grammar: an error if it looks like a mistyped one, else it is a value. */
  positional(word: string): string {
    const meant = /^[a-z][a-z0-9_-]*$/i.test(word) ? closest(word, this.#known) : undefined;
    if (meant !== undefined) throw this.unknown(word);
    return word;
  }

  /** Throws when a word is left. */
  end(): void {
    const rest = this.next();
    if (rest !== undefined) throw this.unknown(rest);
  }

  unknown(word: string): UsageError {
    return this.usage(`unknown word "${word}"${hint(word, this.#known)}`);
  }

  missing(what: string): UsageError {
    return this.usage(`${what} is missing`);
  }

  /** The error for words that do not fit. */
  usage(reason: string): UsageError {
    return usageError(this.description, reason);
  }
}

/** `text` as a whole number; `what` names it in the error. */
export function wholeNumber(what: string, text: string): number {
  if (!/^-?(?:0|[1-9]\d{0,14})$/.test(text)) throw new ConfigError(what, text, "give a whole number");
  return Number(text);
}
