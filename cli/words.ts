/**
 * Command lines in VPP's word style: bare words, a value after the word that wants one, in any order.
 *
 * Rule: wrong grammar (an unknown word, a word without its value, a word twice) is a UsageError and exit code 2;
 * a wrong value (port 70000, protocol icmp) is a ConfigError and exit code 1.
 */

import { ConfigError } from "../mod/config/model.ts";
import { closest } from "./suggest.ts";

/** The words do not fit the command's grammar. The message is the command's usage line and, after it, the reason. */
export class UsageError extends Error {
  override name = "UsageError";
  constructor(readonly reason: string, readonly usage: string) {
    super(`usage: ${usage} (${reason})`);
  }
}

/** What a command knows about itself. */
export interface Grammar {
  /** One line: "ku vip <prefix> …". */
  usage: string;
  /** Every word the command understands, for suggestions. */
  words: readonly string[];
}

/** Walks over the words of one command. */
export class WordReader {
  #at = 0;
  #seen: Set<string> = new Set();

  constructor(private readonly grammar: Grammar, private readonly words: readonly string[]) {}

  /** The next word, undefined at the end. A word of the grammar may come once only. */
  next(): string | undefined {
    const word = this.words[this.#at++];
    if (word === undefined) return undefined;
    if (this.grammar.words.includes(word)) {
      if (this.#seen.has(word)) throw this.usage(`"${word}" is given twice`);
      this.#seen.add(word);
    }
    return word;
  }

  /** The value after `word`, as text. */
  text(word: string): string {
    const value = this.words[this.#at++];
    if (value === undefined) throw this.usage(`"${word}" wants a value`);
    return value;
  }

  /** The value after `word`, as a whole number; its range is judged by the state. */
  number(word: string): number {
    const value = this.text(word);
    if (!/^-?(?:0|[1-9]\d{0,14})$/.test(value)) throw new ConfigError(word, value, "give a whole number");
    return Number(value);
  }

  /** Takes the value that comes next if it is `word`. */
  textIs(word: string): boolean {
    const is = this.words[this.#at] === word;
    if (is) this.#at++;
    return is;
  }

  /** A word that is no word of the grammar: an error if it looks like a mistyped one, else it is a value. */
  positional(word: string): string {
    const meant = /^[a-z][a-z0-9_-]*$/i.test(word) ? closest(word, this.grammar.words) : undefined;
    if (meant !== undefined) throw this.unknown(word);
    return word;
  }

  unknown(word: string): UsageError {
    const meant = closest(word, this.grammar.words);
    return this.usage(`unknown word "${word}"${meant === undefined ? "" : `: did you mean "${meant}"?`}`);
  }

  missing(what: string): UsageError {
    return this.usage(`${what} is missing`);
  }

  /** The error for words that do not fit. */
  usage(reason: string): UsageError {
    return new UsageError(reason, this.grammar.usage);
  }
}
