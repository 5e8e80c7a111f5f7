/**
 * Text that came from a file, as values and as places: YAML or JSON in, plain values out, and for an error in one of the values the
 * line and column it stands at.
 *
 * Rule: places cost nothing until something is wrong. The values are built straight from the parser's events; only an error walks
 * over them again, for the offset of the key it names.
 */

import {
  CORE_SCHEMA,
  EVENT_ID,
  getScalarValue,
  loadAll,
  mergeTag,
  parseEvents,
  SCALAR_STYLE,
  type ScalarEvent,
  YAMLException,
} from "js-yaml";
import { UNKNOWN_KEY } from "./fields.ts";
import { ConfigError } from "./model.ts";

/** Anchors are a convenience, not a way to make a small file a large one. */
const MAX_ALIASES = 10_000;
const SCHEMA = CORE_SCHEMA.withTags(mergeTag);

export class SourceText {
  constructor(readonly text: string, readonly name: string) {}

  /** Every document of the text. Throws a ConfigError with line and column. */
  documents(): unknown[] {
    try {
      return loadAll(this.text, { schema: SCHEMA, maxAliases: MAX_ALIASES });
    } catch (error) {
      if (error instanceof YAMLException) {
        const at = error.mark === undefined ? "" : `:${error.mark.line + 1}:${error.mark.column + 1}`;
        throw new ConfigError(`${this.name}${at}: syntax`, error.reason, "write YAML or JSON");
      }
      throw error;
    }
  }

  /** The only document of the text; null for an empty one. */
  document(): unknown {
    const documents = this.documents();
    if (documents.length <= 1) return documents[0] ?? null;
    throw new ConfigError(
      `${this.name}: documents`,
      String(documents.length),
      "write one document, without ---",
    );
  }

  /** `error` with file, line and column in front: those of the key that its `what` is the path of. */
  located(error: ConfigError): ConfigError {
    return error.within(`${this.place(error.what, error.value === UNKNOWN_KEY)}: `);
  }

  /** "file:3:7" of a key path such as "vips[3].port", or of the longest part of it that is there; `ofKey`: of the key, not its value. */
  place(path: string, ofKey = false): string {
    return this.name + this.#placeText(path, ofKey);
  }

  #placeText(path: string, ofKey: boolean): string {
    const offset = offsetOf(this.text, path, ofKey);
    if (offset < 0) return "";
    const before = this.text.slice(0, offset);
    const lineStart = before.lastIndexOf("\n") + 1;
    return `:${before.split("\n").length}:${[...before.slice(lineStart)].length + 1}`;
  }
}

/** Where an open collection is in its path. */
interface Open {
  path: string;
  /** Index of the next item of a sequence; -1 in a mapping. */
  index: number;
  /** Key of the value that comes next in a mapping, null: a key comes next. */
  key: string | null;
  keyAt: number;
}

/** Offset of the node at `path`, or at the longest beginning of it that there is; of its key if `ofKey`. -1: no node at all. */
function offsetOf(text: string, path: string, ofKey: boolean): number {
  let best = "";
  let offset = -1;
  const stack: Open[] = [];
  /** A node begins at `at`: its path, remembered if it leads to the wanted one. */
  const begin = (at: number): string => {
    const parent = stack.at(-1);
    const own = parent === undefined ? "" : pathIn(parent);
    const start = at < 0 ? parent?.keyAt ?? 0 : at;
    if (offset < 0 || (own.length > best.length && leadsTo(own, path))) {
      best = own;
      offset = ofKey && own === path && parent !== undefined && parent.index < 0 ? parent.keyAt : start;
    }
    return own;
  };
  for (const event of parseEvents(text, {})) {
    const parent = stack.at(-1);
    switch (event.type) {
      case EVENT_ID.DOCUMENT:
        continue;
      case EVENT_ID.POP:
        stack.pop();
        done(stack.at(-1));
        continue;
      case EVENT_ID.SEQUENCE:
      case EVENT_ID.MAPPING: {
        const index = event.type === EVENT_ID.SEQUENCE ? 0 : -1;
        stack.push({ path: begin(event.start), index, key: null, keyAt: -1 });
        continue;
      }
      default: {
        const at = event.type === EVENT_ID.SCALAR ? scalarAt(event) : event.anchorStart;
        if (parent !== undefined && parent.index < 0 && parent.key === null) {
          parent.key = event.type === EVENT_ID.SCALAR ? getScalarValue(text, event) : "";
          parent.keyAt = at;
        } else {
          begin(at);
          done(parent);
        }
      }
    }
  }
  return offset;
}

/** Offset of a scalar, its quote included. */
function scalarAt({ valueStart, style }: ScalarEvent): number {
  const quoted = style === SCALAR_STYLE.SINGLE_QUOTED || style === SCALAR_STYLE.DOUBLE_QUOTED;
  return quoted ? valueStart - 1 : valueStart;
}

function pathIn({ path, index, key }: Open): string {
  if (index >= 0) return `${path}[${index}]`;
  return path === "" ? key ?? "" : `${path}.${key}`;
}

/** A value of `parent` has ended. */
function done(parent: Open | undefined): void {
  if (parent === undefined) return;
  if (parent.index >= 0) parent.index++;
  else parent.key = null;
}

function leadsTo(own: string, path: string): boolean {
  return path.startsWith(own) && (path.length === own.length || ".[".includes(path[own.length]));
}
