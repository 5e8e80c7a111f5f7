/**
 * What may come next on a command line: from the descriptions, without a daemon.
 *
 * Rule: pure. Values that only the daemon or the node knows are named by kind, for complete_live.ts to look up.
 */

import { type Argument, type Completes, type Description, type Form, optionsOf } from "./spec.ts";

export interface Candidate {
  text: string;
  help: string;
}

/** Words that may come next, and the kind of value that may. */
export interface Next {
  candidates: Candidate[];
  completes: Completes | null;
}

/** What may follow `words` (those after the command that are finished), `current` being under way. */
export function nextWords(description: Description, words: readonly string[], current: string): Next {
  const { rest, pending, used } = withoutOptions(description, words);
  if (pending !== null) return valueOf(pending);
  const next = merge(description.forms.map((form) => nextOfForm(form, rest)));
  if (current.startsWith("-") || (next.candidates.length === 0 && next.completes === null)) {
    const options = optionsOf(description).filter((option) => option.repeated || !used.has(option));
    return { candidates: [...next.candidates, ...options.flatMap(candidatesOf)], completes: next.completes };
  }
  return next;
}

/** The words without options and their values; the option whose value comes next, if one does. */
function withoutOptions(
  description: Description,
  words: readonly string[],
): { rest: string[]; pending: Argument | null; used: Set<Argument> } {
  const options = optionsOf(description);
  const used = new Set<Argument>();
  const rest: string[] = [];
  let pending: Argument | null = null;
  for (const word of words) {
    const option = options.find((each) => each.words!.includes(word.split("=")[0]));
    if (pending !== null) {
      pending = null;
    } else if (option !== undefined) {
      used.add(option);
      if (option.value !== undefined && !word.includes("=")) pending = option;
    } else if (!word.startsWith("--")) {
      rest.push(word);
    }
  }
  return { rest, pending, used };
}

function nextOfForm({ lead, args }: Form, words: readonly string[]): Next {
  for (const [index, expected] of lead.entries()) {
    const choices = [expected].flat();
    if (index === words.length) {
      return { candidates: choices.map((text) => ({ text, help: "" })), completes: null };
    }
    if (!choices.includes(words[index])) return { candidates: [], completes: null };
  }
  return nextArgument(args, words.slice(lead.length));
}

/** Arguments in any order: words with their values taken away, what is left by position. */
function nextArgument(args: readonly Argument[], words: readonly string[]): Next {
  const left = new Set(args);
  const positions = args.filter((argument) => argument.words === undefined);
  let position = 0;
  for (let index = 0; index < words.length; index++) {
    const argument = args.find((one) => one.words?.includes(words[index]));
    if (argument !== undefined) {
      if (!argument.repeated) left.delete(argument);
      if (argument.value?.optional) {
        if (/^\d+$/.test(words[index + 1] ?? "")) index++;
      } else if (argument.value !== undefined && ++index >= words.length) {
        return valueOf(argument);
      }
    } else if (position >= positions.length) {
      return { candidates: [], completes: null };
    } else if (!positions[position].repeated) {
      left.delete(positions[position++]);
    }
  }
  const open = positions[position];
  const own = open === undefined ? { candidates: [], completes: null } : valueOf(open);
  const named = [...left].filter((argument) => argument.words !== undefined).flatMap(candidatesOf);
  return { candidates: [...own.candidates, ...named], completes: own.completes };
}

function candidatesOf({ words = [], help, details }: Argument): Candidate[] {
  return words.map((text) => ({ text, help: help || (details?.[text] ?? "") }));
}

function valueOf({ value, details }: Argument): Next {
  const candidates = (value?.choices ?? []).map((text) => ({ text, help: details?.[text] ?? "" }));
  return { candidates, completes: value?.completes ?? null };
}

function merge(all: readonly Next[]): Next {
  const candidates = new Map(all.flatMap((next) => next.candidates).map((each) => [each.text, each]));
  return {
    candidates: [...candidates.values()],
    completes: all.find((next) => next.completes !== null)?.completes ?? null,
  };
}
