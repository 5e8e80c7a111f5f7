/**
 * `ku run --metrics ADDR:PORT`: `/metrics` for Prometheus; `/healthz` (the daemon lives) and `/readyz` (it can serve what it is
 * configured for) for kubelet and load balancers.
 *
 * @module
 */

import { ConfigError } from "../config/model.ts";
import { checkListenAddress } from "../config/rules.ts";
import { CONTENT_TYPES, exposition, formatFor } from "../metrics/prometheus.ts";
import { metricFamilies } from "./metrics_families.ts";
import { showInterfaces, type ShowParts } from "./shows.ts";

/** Serves until `close`. Throws ConfigError when the address cannot be had. */
export function serveMetrics(listen: string, parts: ShowParts): { close(): Promise<void> } {
  const options = { ...checkListenAddress("metrics", listen), onListen: () => {} };
  try {
    const server = Deno.serve(options, (request) => answer(request, parts));
    return { close: () => server.shutdown() };
  } catch (error) {
    throw new ConfigError("metrics", listen, `cannot listen there: ${(error as Error).message}`);
  }
}

async function answer(request: Request, parts: ShowParts): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("GET only\n", { status: 405, headers: { allow: "GET, HEAD" } });
  }
  switch (new URL(request.url).pathname) {
    case "/metrics":
      return await metrics(request, parts);
    case "/healthz":
      return new Response("ok\n");
    case "/readyz":
      return ready(parts);
    default:
      return new Response("see /metrics, /healthz, /readyz\n", { status: 404 });
  }
}

async function metrics(request: Request, parts: ShowParts): Promise<Response> {
  const format = formatFor(request.headers.get("accept"));
  try {
    const text = exposition(await metricFamilies(parts), format);
    return new Response(text, { headers: { "content-type": CONTENT_TYPES[format] } });
  } catch (error) {
    // A worker that has just ended: the daemon is on its way out.
    return new Response(`${(error as Error).message}\n`, { status: 503 });
  }
}

/** Ready: the tables are published, and every configured interface is there and attached. */
function ready(parts: ShowParts): Response {
  const missing = showInterfaces(parts).filter(({ activeMode }) => activeMode === null);
  const reasons = missing.map(({ name, reason }) => `interface ${name} : ${reason}`);
  if (parts.publisher.generation === 0) reasons.push("tables : not published yet");
  if (reasons.length === 0) return new Response("ready\n");
  return new Response(reasons.map((reason) => `${reason}\n`).join(""), { status: 503 });
}
