/**
 * Everything in a namespace that a load balancer could leave behind, as lines of text: taken before ku starts and after it ended, the two
 * must be the same.
 */

import type { Namespace } from "./namespace.ts";
import { runOk } from "./process.ts";
import { ownPrograms } from "./programs.ts";

interface Link {
  ifname: string;
  flags: string[];
  mtu: number;
  promiscuity?: number;
  xdp?: unknown;
  link_type: string;
  qdisc?: string;
}

interface Route {
  dst: string;
  type?: string;
  gateway?: string;
  dev?: string;
  table?: string;
  protocol?: string;
}

/** Links with their XDP programs, ku's own programs (`tc` of Debian 12 does not know tcx), qdiscs, tc filters, routes of all tables, rules. Sorted; neighbors, which come and go, are left out. */
export async function footprint(namespace: Namespace): Promise<string[]> {
  const links = await namespace.ipJson<Link[]>("-details", "link", "show");
  const lines = links.map((link) =>
    `link ${link.ifname} mtu ${link.mtu} flags ${link.flags.join(",")} qdisc ${link.qdisc ?? ""} ` +
    `promiscuity ${link.promiscuity ?? 0} xdp ${JSON.stringify(link.xdp ?? null)}`
  );
  lines.push(...ownPrograms(namespace).map(({ link, name }) => `program ${link} ${name}`));
  for (const { ifname } of links) {
    for (const hook of ["ingress", "egress"]) {
      const filters = await tcOrNothing(namespace, "filter", "show", "dev", ifname, hook);
      lines.push(...filters.map((line) => `filter ${ifname} ${hook} ${line}`));
    }
  }
  lines.push(...(await tcOrNothing(namespace, "qdisc", "show")).map((line) => `qdisc ${line}`));
  for (const family of ["-4", "-6"]) {
    const routes = await namespace.ipJson<Route[]>(family, "route", "show", "table", "all");
    lines.push(
      ...routes.map((route) =>
        `route ${family} ${route.type ?? ""} ${route.dst} via ${route.gateway ?? ""} dev ${
          route.dev ?? ""
        } ` +
        `table ${route.table ?? "main"} protocol ${route.protocol ?? ""}`
      ),
    );
    const rules = await runOk(["ip", "-n", namespace.name, family, "rule", "show"]);
    lines.push(...rules.trim().split("\n").map((line) => `rule ${family} ${line}`));
  }
  return lines.sort();
}

async function tcOrNothing(namespace: Namespace, ...words: string[]): Promise<string[]> {
  const result = await namespace.run(["tc", ...words]);
  return result.code === 0 ? result.text.trim().split("\n").filter((line) => line !== "") : [];
}

/** The lines that are only in one of two footprints, marked + (new) and - (gone). */
export function differences(before: readonly string[], after: readonly string[]): string[] {
  return [
    ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`),
    ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
  ];
}
