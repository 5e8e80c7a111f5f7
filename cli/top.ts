/** `ku top`: VIPs and pods as they work, on a terminal. */

import { DaemonConnection } from "../mod/control/rpc_client.ts";
import { ConfigError } from "../mod/config/model.ts";
import type { ShowVipVerbose } from "../mod/control/protocol.ts";
import { optionsOrHelp } from "./client.ts";
import { print } from "./output.ts";
import type { Description } from "./spec.ts";
import { isStyled } from "./style.ts";
import { type Look, type Model, Rater, SORT_KEYS } from "./top_model.ts";
import { listOf, screenLines, type View } from "./top_view.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "top",
  summary: "watch VIPs and pods live",
  about: [
    "Shows VIPs with their sessions, packets, bits and new connections a second, both directions together, refreshed every second. " +
    "Keys: up and down (or k and j) choose a line, Enter shows the pods of a VIP, Esc goes back, s sorts by the next column, c shows " +
    "the node counters, q leaves.",
  ],
  forms: [{ lead: [], args: [] }],
  examples: [{ line: "ku top" }],
};

const LOOK_MS = 1000;
// ECMA-48 and xterm: the alternate screen, the cursor hidden; and both undone.
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";

export async function run(args: string[]): Promise<void> {
  const options = optionsOrHelp(args, description);
  if (options === null) return;
  new WordReader(description, options.words).end();
  if (!Deno.stdin.isTerminal() || !Deno.stdout.isTerminal()) {
    throw new ConfigError("top", "no terminal", 'run it on one, or use "ku show vip verbose --watch"');
  }
  const connection = await DaemonConnection.connect(options.socket);
  try {
    await watch(connection);
  } finally {
    connection.close();
  }
}

async function watch(connection: DaemonConnection): Promise<void> {
  const rater = new Rater();
  const view: View = {
    screen: "vips",
    sort: "packets",
    cursor: 0,
    vip: null,
    columns: 80,
    rows: 24,
    style: isStyled(),
  };
  let model = rater.look(await look(connection));
  const draw = () => {
    Object.assign(view, Deno.consoleSize());
    print(`\x1b[H${screenLines(model, view).map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J`);
  };
  const ended = Promise.withResolvers<void>();
  let timer = 0;
  const again = async () => {
    try {
      model = rater.look(await look(connection));
      draw();
      timer = setTimeout(again, LOOK_MS);
    } catch (error) {
      ended.reject(error);
    }
  };
  Deno.addSignalListener("SIGWINCH", draw);
  Deno.stdin.setRaw(true);
  print(ENTER);
  try {
    draw();
    timer = setTimeout(again, LOOK_MS);
    const keys = readKeys((key) => {
      if (!press(key, view, model)) return false;
      draw();
      return true;
    });
    await Promise.race([keys, ended.promise]);
  } finally {
    clearTimeout(timer);
    Deno.removeSignalListener("SIGWINCH", draw);
    print(LEAVE);
    Deno.stdin.setRaw(false);
  }
}

async function look(connection: DaemonConnection): Promise<Look> {
  const ku = await connection.call("show", {});
  const vips = await connection.call("showVip", { verbose: true }) as ShowVipVerbose[];
  const counters = await connection.call("showNodeCounters", {});
  return { atMs: performance.now(), ku, vips, counters };
}

/** Hands every key to `take` until that says no. Escape sequences of one read are one key. */
async function readKeys(take: (key: string) => boolean): Promise<void> {
  const buffer = new Uint8Array(64);
  for (;;) {
    const count = await Deno.stdin.read(buffer);
    if (count === null) return;
    const text = new TextDecoder().decode(buffer.subarray(0, count));
    // deno-lint-ignore no-control-regex
    for (const [key] of text.matchAll(/\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|[^]/gu)) if (!take(key)) return;
  }
}

/** What a key does to the view. False: leave. */
export function press(key: string, view: View, model: Model): boolean {
  const list = view.screen === "counters" ? [] : listOf(model, view);
  switch (key) {
    case "q":
    case "\x03":
      return false;
    case "j":
    case "\x1b[B":
      view.cursor = Math.min(view.cursor + 1, Math.max(0, list.length - 1));
      break;
    case "k":
    case "\x1b[A":
      view.cursor = Math.max(view.cursor - 1, 0);
      break;
    case "s":
      view.sort = SORT_KEYS[(SORT_KEYS.indexOf(view.sort) + 1) % SORT_KEYS.length];
      break;
    case "c":
      view.screen = view.screen === "counters" ? "vips" : "counters";
      view.cursor = 0;
      break;
    case "\r":
    case "\n":
      if (view.screen === "vips" && list.length > 0) {
        Object.assign(view, {
          screen: "pods",
          vip: list[Math.min(view.cursor, list.length - 1)].key,
          cursor: 0,
        });
      }
      break;
    case "\x1b":
    case "\x7f":
      if (view.screen !== "vips") Object.assign(view, { screen: "vips", cursor: 0 });
      break;
  }
  return true;
}
