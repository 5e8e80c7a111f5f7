/**
 * The screens of `ku top` as lines of text. Pure: a model and the size of the terminal in, lines out, none wider than the terminal.
 */

import { formatBytes, formatDuration } from "./format.ts";
import { styled } from "./style.ts";
import { type Column, TableWriter } from "./table.ts";
import { type Model, type Row, sorted, type SortKey, type VipRow } from "./top_model.ts";

/** Where somebody is, and how they want it. */
export interface View {
  screen: "vips" | "pods" | "counters";
  sort: SortKey;
  /** Line of the list that is marked. */
  cursor: number;
  /** The VIP whose pods are shown. */
  vip: string | null;
  columns: number;
  rows: number;
  style: boolean;
}

const BARS = "▁▂▃▄▅▆▇█";
const SPARKLINE_CELLS = 20;

const RATE_COLUMNS: readonly Column[] = [
  { title: "Sessions", right: true },
  { title: "Packets/s", right: true },
  { title: "Bits/s", right: true },
  { title: "New/s", right: true },
  { title: "No pod/s", right: true },
  { title: "Packets/s, last minute" },
];
const VIP_COLUMNS: readonly Column[] = [
  { title: "VIP" },
  { title: "Protocol" },
  { title: "Port", right: true },
  { title: "Pods", right: true },
  ...RATE_COLUMNS,
];
const POD_COLUMNS: readonly Column[] = [
  { title: "Pod" },
  { title: "Weight", right: true },
  { title: "State" },
  ...RATE_COLUMNS.filter(({ title }) => title !== "No pod/s"),
];
const COUNTER_COLUMNS: readonly Column[] = [
  { title: "Count", right: true },
  { title: "Per second", right: true },
  { title: "Node" },
  { title: "Reason" },
  { title: "Last minute" },
];

/** The rows of the list that `view` is on, in its order. */
export function listOf(model: Model, { screen, sort, vip }: View): readonly Row[] {
  if (screen === "vips") return sorted(model.vips, sort);
  return sorted(vipOf(model, vip)?.pods ?? [], sort);
}

function vipOf(model: Model, key: string | null): VipRow | undefined {
  return model.vips.find((vip) => vip.key === key);
}

/** The whole screen, `view.rows` lines at most. */
export function screenLines(model: Model, view: View): string[] {
  const head = [...headLines(model), title(model, view)];
  const room = Math.max(1, view.rows - head.length - 2);
  const [header, ...body] = bodyLines(model, view);
  // The marked line stays in sight.
  const start = Math.max(0, Math.min(view.cursor - room + 1, body.length - room));
  const lines = [
    ...head.map((line) => clip(line, view)),
    styled(clip(`  ${header}`, view), "bold", view.style),
    ...body.slice(start, start + room).map((line, index) => {
      const marked = start + index === view.cursor && view.screen !== "counters";
      return marked ? inverse(clip(`> ${line}`, view), view.style) : clip(`  ${line}`, view);
    }),
  ];
  return [...lines.slice(0, view.rows - 1), styled(clip(keyLine(view), view), "dim", view.style)];
}

function headLines({ ku, total }: Model): string[] {
  const capacity = ku.workers.reduce((sum, worker) => sum + worker.sessions.capacity, 0);
  return [
    `ku ${ku.version}, up ${
      formatDuration(ku.uptimeSeconds)
    }, generation ${ku.generation}, ${ku.vips} VIPs, ${ku.pods} pods, ` +
    `${ku.workers.length} workers, ${formatBytes(ku.memoryBytes)}`,
    `sessions ${total.sessions} of ${capacity}   packets/s ${scaled(total.packets)}   bits/s ${
      scaled(total.bits)
    }   ` +
    `new/s ${scaled(total.newSessions)}   no pod/s ${scaled(total.unserved)}   ${sparkline(total.history)}`,
    "",
  ];
}

function title(model: Model, { screen, vip, sort }: View): string {
  if (screen === "counters") return "node counters";
  const by = sort === "newSessions" ? "new sessions" : sort === "unserved" ? "no pod" : sort;
  return screen === "vips"
    ? `VIPs by ${by}`
    : `pods of ${vipOf(model, vip)?.name.slice(0, 3).join(" ") ?? vip} by ${by}`;
}

function bodyLines(model: Model, view: View): string[] {
  const rows = view.screen === "counters" ? [] : listOf(model, view);
  const text = view.screen === "counters"
    ? new TableWriter(COUNTER_COLUMNS).rows(
      model.counters.toSorted((a, b) => b.rate - a.rate || b.count - a.count).map((counter) => [
        String(counter.count),
        scaled(counter.rate),
        counter.node,
        counter.reason,
        sparkline(counter.history),
      ]),
    )
    : view.screen === "vips"
    ? new TableWriter(VIP_COLUMNS).rows(rows.map((row) => [...row.name, ...rateCells(row, true)]))
    : new TableWriter(POD_COLUMNS).rows(rows.map((row) => [...row.name, ...rateCells(row, false)]));
  return text.trimEnd().split("\n");
}

function rateCells(row: Row, unserved: boolean): string[] {
  const { sessions, packets, bits, newSessions, history } = row;
  return [
    String(sessions),
    scaled(packets),
    scaled(bits),
    scaled(newSessions),
    ...unserved ? [scaled(row.unserved)] : [],
    sparkline(history),
  ];
}

function keyLine({ screen }: View): string {
  const move = screen === "counters" ? "" : "↑↓ choose  s sort  ";
  const go = screen === "vips" ? "Enter pods  c counters  " : "Esc back  ";
  return `${move}${go}q quit`;
}

/** Not longer than the terminal is wide. */
function clip(line: string, { columns }: View): string {
  return [...line].slice(0, columns).join("");
}

function inverse(line: string, style: boolean): string {
  return style ? `\x1b[7m${line}\x1b[27m` : line;
}

/** "0", "0.3", "12", "1.2k", "34.5M": three digits at most and a unit. */
export function scaled(value: number): string {
  if (value < 10) return value === 0 ? "0" : value.toFixed(1);
  const units = ["", "k", "M", "G", "T"];
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit > 0 && value < 99.95 ? value.toFixed(1) : value.toFixed(0)}${units[unit]}`;
}

/** The newest values as bars; each column is as high as its share of the highest. */
export function sparkline(history: readonly number[]): string {
  const shown = history.slice(-SPARKLINE_CELLS);
  const highest = Math.max(...shown, 0);
  if (highest === 0) return "";
  return shown.map((value) => value === 0 ? " " : BARS[Math.ceil(value / highest * BARS.length) - 1]).join(
    "",
  );
}
