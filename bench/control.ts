/**
 * The control plane (root, dist/ku): 10,000 services of four pods each given to ku, to nft and to iptables-restore; the only pod of one
 * more changed, until a packet reaches the new one; what the daemon takes of memory.
 *
 *     deno run -A bench/control.ts [--quick] [--services 10000] [--rounds 3] [--subjects ku,nftables,iptables] [--limit 150]
 *                                  [--out records.jsonl]
 *
 * Times are a user's: from before the command's process starts. ku's program takes some 40 ms to start, so the change is also made over a
 * connection that is open already, as a controller would hold one. `--limit`: seconds one command may take; a subject that needs longer is
 * named, left out, and makes the bench fail at its end. One that needs more than SLOW_MS for its first round has no second one.
 */

import { Ground } from "../tests/netns/harness/ground.ts";
import { untilListening } from "../tests/netns/harness/process.ts";
import { requireGround } from "../tests/netns/harness/requirements.ts";
import { compileTraffic, program } from "./compile.ts";
import { daemonMemory } from "./control/memory.ts";
import { type Subject, SUBJECTS } from "./control/subjects.ts";
import { untilReached } from "./control/visible.ts";
import { Recorder } from "./record.ts";
import { FIRST_POD, makeServices, POD_NETWORK, POD_PORT, type Service, toAddress } from "./services.ts";

function option(name: string): string | undefined {
  const at = Deno.args.indexOf(`--${name}`);
  return at < 0 ? undefined : Deno.args[at + 1];
}

function number(name: string, byDefault: number): number {
  const value = Number(option(name) ?? byDefault);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`bench/control.ts: --${name} : ${option(name)}, give a whole number above 0`);
  Deno.exit(2);
}

const quick = Deno.args.includes("--quick");
const COUNT = number("services", quick ? 50 : 10_000);
const ROUNDS = number("rounds", quick ? 1 : 3);
const LIMIT_MS = 1000 * number("limit", 150);
/** nft takes half a minute for 10,000 services, every time about the same. */
const SLOW_MS = 12_000;
const names = option("subjects")?.split(",") ?? SUBJECTS.map(({ name }) => name);
const unknown = names.find((name) => !SUBJECTS.some((subject) => subject.name === name));
if (unknown !== undefined) {
  console.error(
    `bench/control.ts: --subjects : ${unknown}, choose from ${SUBJECTS.map((s) => s.name).join(", ")}`,
  );
  Deno.exit(2);
}
/** An address where no pod answers. */
const DEAF = toAddress(FIRST_POD + 65_000);

/** Says what is under way, and how long it took: some of it takes half a minute. */
async function told<T>(
  what: string,
  task: () => Promise<T>,
  ms = (_: T, elapsed: number) => elapsed,
): Promise<number> {
  const before = performance.now();
  const result = await task();
  const took = ms(result, performance.now() - before);
  console.log(`· ${what}: ${took.toFixed(took < 100 ? 1 : 0)} ms`);
  return took;
}

async function round(subject: Subject, at: string, times: Map<string, number[]>): Promise<void> {
  const keep = (name: string, ms: number) => times.set(name, [...(times.get(name) ?? []), ms]);
  await using ground = await Ground.create({ clients: 1, pods: 1 });
  const pod = ground.pods[0];
  await ground.node.ip(`route add ${POD_NETWORK} via ${pod.address} dev pod1`);
  const server = ground.stack.use(pod.namespace.start("ping", [program("ping"), "serve", String(POD_PORT)]));
  await untilListening(server.pid, "udp", POD_PORT);
  const services: Service[] = makeServices(COUNT + 1);
  const last = services[COUNT];
  last.pods = [DEAF];
  await using running = await subject.start(ground, LIMIT_MS);
  keep("apply", await told(`${at}, ${COUNT} services`, () => running.apply(services)));
  for (const [how, change] of Object.entries(running.changes)) {
    const reach = () => untilReached(ground, last.vip, () => change(last, pod.address), LIMIT_MS);
    keep(how, await told(`${at}, ${how}`, reach, (ms) => ms));
    await running.changes[how]({ ...last, pods: [pod.address] }, DEAF);
  }
}

await requireGround();
await compileTraffic();
const recorder = new Recorder(option("out"));
const times = new Map(
  SUBJECTS.filter(({ name }) => names.includes(name)).map((
    subject,
  ) => [subject, new Map<string, number[]>()]),
);
const failed = new Set<Subject>();
for (let i = 0; i < ROUNDS; i++) {
  for (const [subject, figures] of times) {
    const [first = 0] = figures.get("apply") ?? [];
    if (failed.has(subject) || first > SLOW_MS) continue;
    try {
      await round(subject, `${subject.name}, round ${i + 1} of ${ROUNDS}`, figures);
    } catch (error) {
      failed.add(subject);
      console.error(`bench/control.ts: ${subject.name} : ${(error as Error).message}`);
    }
  }
}
for (const [{ name: contestant }, figures] of times) {
  for (const [name, samples] of figures) {
    const params = { contestant, services: COUNT };
    recorder.add({ suite: "control", name, params, unit: "ms", better: "less" }, samples);
  }
}
if (names.includes("ku")) await daemonMemory(COUNT, recorder, LIMIT_MS);
Deno.exit(failed.size === 0 ? 0 : 1); // the cleanup's pipe would keep the process
