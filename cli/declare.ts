/**
 * What `apply`, `diff` and `import` share: a document to the daemon, and its report as lines.
 *
 * Rule: the text is read here, and the daemon judges what it says, with one set of rules and all that only it knows (the node's
 * interfaces, the VIPs that stay). Its refusal names a key's path, which becomes line and column here.
 */

import { vipKeyText } from "../mod/config/model.ts";
import { UNKNOWN_KEY } from "../mod/config/fields.ts";
import { SourceText } from "../mod/config/source_text.ts";
import {
  type ApplyResult,
  type Difference,
  RPC_CONFIG_ERROR,
  type VipReport,
} from "../mod/control/protocol.ts";
import { type DaemonConnection, RpcError } from "../mod/control/rpc_client.ts";
import { readInput, sourceName } from "./input.ts";
import { print } from "./output.ts";
import type { Description } from "./spec.ts";
import { usageError } from "./words.ts";

export interface ApplyOptions {
  prune: boolean;
  dryRun: boolean;
}

/** Reads the configuration in `file`; what it returns brings a daemon to it, or finds out what that would change. */
export async function readApply(
  file: string,
  options: ApplyOptions,
): Promise<(connection: DaemonConnection) => Promise<ApplyResult>> {
  const source = new SourceText(await readInput(file), sourceName(file));
  const document = source.document();
  return async (connection) => {
    try {
      return await connection.call("apply", { document, ...options });
    } catch (error) {
      throw error instanceof RpcError ? locatedAnswer(error, source) : error;
    }
  };
}

/** The daemon's refusal with line and column, if it is about a key of the document. */
function locatedAnswer(error: RpcError, source: SourceText): RpcError {
  const [path, rest = ""] = error.message.split(" : ");
  if (error.code !== RPC_CONFIG_ERROR || !/^(conf|interfaces|vips|the document|\w+$)\b/.test(path)) {
    return error;
  }
  return new RpcError(error.code, `${source.place(path, rest.startsWith(UNKNOWN_KEY))}: ${error.message}`);
}

/** `--prune` of apply and diff. Throws UsageError. */
export function pruneOf(values: Map<string, string[]>, description: Description): boolean {
  const [prune = "true"] = values.get("prune") ?? [];
  if (prune === "true" || prune === "false") return prune === "true";
  throw usageError(description, `--prune wants true or false, not "${prune}"`);
}

/** Prints what changed, or would have, as `apply` and `import` do. */
export function printChanges(result: ApplyResult, dryRun: boolean): void {
  const suffix = dryRun ? " (dry run)" : "";
  print(
    isChange(result)
      ? formatChanges(result, dryRun) + summaryText(result).replace("\n", `${suffix}\n`)
      : `no change${suffix}\n`,
  );
}

/** Whether anything is different. */
export function isChange({ conf, interfaces, vips }: ApplyResult): boolean {
  return conf.length + interfaces.length + vips.length > 0;
}

/** A line for each changed thing; with `consequences`, another for what it means to those who use it. */
export function formatChanges(result: ApplyResult, consequences: boolean): string {
  const lines: string[] = [];
  if (result.conf.length > 0) lines.push(`conf changed: ${differencesText(result.conf)}`);
  for (const { name, action, differences } of result.interfaces) {
    lines.push(
      `interface ${name} ${action}${differences.length > 0 ? `: ${differencesText(differences)}` : ""}`,
    );
  }
  for (const vip of result.vips) {
    lines.push(`vip ${vipKeyText(vip)} ${vip.action}${detailText(vip)}`);
    const meaning = consequences ? consequencesText(vip) : "";
    if (meaning !== "") lines.push(`    ${meaning}`);
  }
  return lines.map((line) => line + "\n").join("");
}

/** "2 added, 1 changed, 3 removed, 97 unchanged" of VIPs and interfaces. */
export function summaryText(result: ApplyResult): string {
  const all = [...result.vips, ...result.interfaces];
  const count = (action: string) => all.filter((each) => each.action === action).length;
  const unchanged = result.unchanged.vips + result.unchanged.interfaces;
  return `${count("added")} added, ${count("changed")} changed, ${
    count("removed")
  } removed, ${unchanged} unchanged\n`;
}

function differencesText(differences: readonly Difference[]): string {
  return differences.map(({ name, before, after }) => `${name} ${valueText(before)} → ${valueText(after)}`)
    .join(", ");
}

const valueText = (value: Difference["before"]): string => value === null ? "none" : String(value);

/** How many addresses a line names before it only counts them. */
const MAX_NAMED = 6;

function detailText({ action, differences, podsAdded, podsRemoved, podsChanged }: VipReport): string {
  if (action === "removed") return podsRemoved.length > 0 ? ` with ${podsText(podsRemoved.length)}` : "";
  if (action === "added") return podsAdded.length > 0 ? ` with ${podsText(podsAdded.length)}` : "";
  const parts = [
    ...differences.length > 0 ? [differencesText(differences)] : [],
    ...named("+", podsAdded),
    ...named("-", podsRemoved),
    ...podsChanged.slice(0, MAX_NAMED).map((pod) => `${pod.address} weight ${pod.before} → ${pod.after}`),
    ...podsChanged.length > MAX_NAMED ? [`${podsChanged.length - MAX_NAMED} more weights`] : [],
  ];
  return `: ${parts.join(", ")}`;
}

function named(sign: string, addresses: readonly string[]): string[] {
  if (addresses.length > MAX_NAMED) return [`${sign}${podsText(addresses.length)}`];
  return addresses.map((address) => `${sign}${address}`);
}

const podsText = (count: number): string => `${count} ${count === 1 ? "pod" : "pods"}`;

function consequencesText({ action, slots, sessions }: VipReport): string {
  const parts: string[] = [];
  if (action === "changed") {
    const share = (100 * slots.moved / slots.total).toFixed(1);
    parts.push(`${slots.moved} of ${slots.total} slots move (${share} % of new clients)`);
  }
  const { ended, moved, draining } = sessions;
  if (ended > 0) parts.push(`${ended} sessions end`);
  if (moved > 0) parts.push(`${moved} sessions get another pod`);
  if (draining > 0) parts.push(`${draining} TCP sessions stay on removed pods until they end`);
  return parts.join(", ");
}
