/**
 * ku at work, in network namespaces of its own: a client, a node, three pods with nginx and dnsmasq; real curl and dig through a virtual
 * IP. Checks what it shows and exits with 1 when something is not as it should be. Leaves nothing behind, after Ctrl-C neither.
 *
 *     deno task demo            builds ku and runs this
 *     deno task demo --hold     and keeps it all running until Ctrl-C, to play with
 */

import { requireGround } from "../tests/netns/harness/requirements.ts";
import { Ground } from "../tests/netns/harness/ground.ts";
import { Daemon, KU } from "../tests/netns/harness/daemon.ts";
import { startDns, whoAnswers } from "../tests/netns/harness/dns.ts";
import { fetchUrl, startWebServers, type WebServer } from "../tests/netns/harness/web.ts";
import { sha256 } from "../tests/netns/harness/random.ts";
import { POD_WEB_PORT, VIP } from "../tests/netns/harness/service.ts";

const CONFIG = new URL("./demo.yaml", import.meta.url).pathname;
const REQUESTS = 60;
const QUERIES = 200;
const QUERIES_AT_ONCE = 10;
const BODY_BYTES = 8 << 20;
const SESSIONS_SHOWN = 10;

const PICTURE = `
                           ┌────────────────┐ pod1 ──── 10.2.1.2   nginx, dnsmasq
   client                  │      node      │
   10.1.1.2 ──────── uplink│       ku       │ pod2 ──── 10.2.2.2   nginx, dnsmasq
                           │                │
                           └────────────────┘ pod3 ──── 10.2.3.2   nginx, dnsmasq

   virtual IP ${VIP}:  tcp port 80 → port 8080 of a pod,  udp port 53 → port 53 of a pod
`;

const failures: string[] = [];

function headline(text: string): void {
  console.log(`\n\x1b[1m▸ ${text}\x1b[0m`);
}

/** Says whether something is as it should be, and remembers when it is not. */
function check(holds: boolean, what: string): void {
  console.log(holds ? `  \x1b[32m✔\x1b[0m ${what}` : `  \x1b[31m✘ ${what}\x1b[0m`);
  if (!holds) failures.push(what);
}

function indent(text: string): string {
  return text.trimEnd().split("\n").map((line) => `  ${line}`.trimEnd()).join("\n");
}

/** How often each pod answered, as bars. */
function chart(pods: readonly string[], answers: readonly string[]): Map<string, number> {
  const counts = new Map(pods.map((pod) => [pod, 0]));
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  const most = Math.max(1, ...counts.values());
  for (const [pod, count] of counts) {
    console.log(
      `  ${pod}  \x1b[36m${"█".repeat(Math.round((count / most) * 40)).padEnd(40)}\x1b[0m ${count}`,
    );
  }
  return counts;
}

async function web(ground: Ground, servers: WebServer[]): Promise<void> {
  headline(`client: ${REQUESTS} × curl http://${VIP}/who, each a connection of its own`);
  const answers: string[] = [];
  const strangers = new Set<string>();
  for (let n = 0; n < REQUESTS; n++) {
    const { text, localPort } = await fetchUrl(ground.client.namespace, `http://${VIP}/who`);
    const [pod, address, port] = text.trim().split(" ");
    answers.push(pod);
    if (address !== ground.client.address || Number(port) !== localPort) strangers.add(`${address}:${port}`);
  }
  const counts = chart(ground.pods.map((pod) => pod.name), answers);
  check(counts.size === 3 && [...counts.values()].every((count) => count > 0), "all three pods answered");
  check(strangers.size === 0, `each pod saw the client's own address, ${ground.client.address}, and port`);

  headline(`client: curl http://${VIP}/blob, ${BODY_BYTES >> 20} MiB`);
  const digests = await Promise.all(
    servers.map((server, index) => server.addBlob("blob", index, BODY_BYTES)),
  );
  const { body, elapsedMs } = await fetchUrl(ground.client.namespace, `http://${VIP}/blob`);
  const pod = digests.indexOf(await sha256(body));
  check(
    pod >= 0,
    `${body.length} bytes in ${elapsedMs.toFixed(0)} ms, SHA-256 as at ${
      pod >= 0 ? ground.pods[pod].name : "no pod"
    }`,
  );
}

async function dns(ground: Ground): Promise<void> {
  headline(
    `client: ${QUERIES} × dig @${VIP} who.ku.test TXT, each a UDP flow of its own (pod3 has half the weight)`,
  );
  const from = ground.client.namespace;
  const answers: string[] = [];
  while (answers.length < QUERIES) {
    answers.push(...await Promise.all(Array.from({ length: QUERIES_AT_ONCE }, () => whoAnswers(from, VIP))));
  }
  const counts = chart(ground.pods.map((pod) => pod.name), answers);
  check(counts.size === 3 && [...counts.values()].every((count) => count > 0), "all three pods answered");

  const same = new Set<string>();
  for (let n = 0; n < 10; n++) same.add(await whoAnswers(from, VIP, "-b", `${ground.client.address}#40000`));
  check(same.size === 1, `10 datagrams of one flow reached one pod, ${[...same].join(" and ")}`);
}

async function drain(ground: Ground, daemon: Daemon): Promise<void> {
  const [first, second, third] = ground.pods;
  const command = `pod ${VIP}/32 protocol tcp port 80 ${third.address} weight 0`;
  headline(`node: ku ${command}, then 20 × curl`);
  await daemon.ku(command);
  const answers: string[] = [];
  for (let n = 0; n < 20; n++) {
    answers.push((await fetchUrl(ground.client.namespace, `http://${VIP}/who`)).text.split(" ")[0]);
  }
  const counts = chart(ground.pods.map((pod) => pod.name), answers);
  check(
    counts.get(third.name) === 0,
    `${third.name} gets no new connections, ${first.name} and ${second.name} share them`,
  );
}

async function shows(daemon: Daemon): Promise<void> {
  for (const words of [["interface"], ["vip", "verbose"], ["sessions"], ["node", "counters"]]) {
    headline(`node: ku show ${words.join(" ")}`);
    const { text } = await daemon.run("show", ...words);
    const lines = text.trimEnd().split("\n");
    const shown = words[0] === "sessions" ? lines.slice(0, SESSIONS_SHOWN + 1) : lines;
    console.log(indent(shown.join("\n")));
    if (shown.length < lines.length) console.log(`  … and ${lines.length - shown.length} more`);
  }
  const [tcp, udp] = [await daemon.vip(80), await daemon.vip(53, "udp")];
  const connections = REQUESTS + 1 + 20;
  check(
    tcp.counters.firstPacket === connections,
    `ku counted ${tcp.counters.firstPacket} TCP connections of ${connections}`,
  );
  const queries = udp.counters.firstPacket + udp.counters.nextPacket;
  check(queries === QUERIES + 10, `ku counted ${queries} queries of ${QUERIES + 10}`);
}

async function hold(ground: Ground, daemon: Daemon): Promise<void> {
  headline("everything stays as it is until Ctrl-C; try");
  console.log(indent([
    `ip netns exec ${ground.client.namespace.name} curl http://${VIP}/who`,
    `ip netns exec ${ground.client.namespace.name} dig @${VIP} +short who.ku.test TXT`,
    `export KU_SOCKET=${daemon.socket}`,
    `${KU} show vip verbose`,
    `${KU} pod ${VIP}/32 protocol tcp port 80 ${ground.pods[0].address} del`,
    `${KU} help`,
  ].join("\n")));
  await new Promise<never>(() => {});
}

async function demo(everything: AsyncDisposableStack): Promise<void> {
  console.log(`\x1b[1mku: one virtual IP, three pods, real traffic\x1b[0m\n${PICTURE}`);
  const pods = ["ku-pod1", "ku-pod2", "ku-pod3"];
  const ground = everything.use(
    await Ground.create({ names: { client: "ku-client", node: "ku-node", pods } }),
  );
  headline(
    `network namespaces ${
      [ground.client, ...ground.pods].map((host) => host.namespace.name).join(" ")
    } ${ground.node.name}`,
  );
  const servers = await startWebServers(ground, POD_WEB_PORT);
  for (const pod of ground.pods) await startDns(ground, pod);
  console.log("  nginx and dnsmasq run in every pod");
  headline("node: ku run --config examples/demo.yaml");
  const daemon = everything.use(await Daemon.start(ground, { words: ["--config", CONFIG], quiet: true }));
  everything.defer(() => {
    if (failures.length > 0) {
      console.log(`\nku run said:\n${indent(daemon.process.stdout + daemon.process.stderr)}`);
    }
  });
  console.log(`  it answers, process ${daemon.process.pid}`);

  await web(ground, servers);
  await dns(ground);
  await drain(ground, daemon);
  await shows(daemon);
  if (Deno.args.includes("--hold")) await hold(ground, daemon);
  headline("node: SIGTERM to ku run");
  await daemon.stop();
  check(true, "no program, interface, route or socket is left behind");
}

async function main(): Promise<number> {
  await requireGround();
  const everything = new AsyncDisposableStack();
  let interrupted = false;
  const interrupt = async (): Promise<void> => {
    if (interrupted) return;
    interrupted = true;
    console.log("\ninterrupted, cleaning up");
    await everything.disposeAsync();
    Deno.exit(130);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, interrupt);
  try {
    await demo(everything);
  } catch (error) {
    if (interrupted) await new Promise<never>(() => {}); // what it used was taken away; `interrupt` exits
    failures.push(error instanceof Error ? error.message : String(error));
  }
  await everything.disposeAsync();
  if (failures.length === 0) console.log("\n\x1b[32mAll of it as it should be.\x1b[0m");
  else console.log(`\n\x1b[31mNot as it should be:\x1b[0m\n${indent(failures.join("\n"))}`);
  return failures.length === 0 ? 0 : 1;
}

Deno.exit(await main());
