/**
 * The control plane (root, dist/ku): 10,000 services of four pods each given to ku, to nft and to iptables-restore; the only pod of one
 * more changed, until a packet reaches the new one; what the daemon takes of memory.
 *
 *     deno run -A bench/control.ts [--quick] [--out records.jsonl]
 *
 * Times are a user's: from before the command's process starts. ku's program takes some 40 ms to start, so the change is also made over a
 * connection that is open already, as a controller would hold one.
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

const quick = Deno.args.includes("--quick");
const out = Deno.args.indexOf("--out");
const COUNT = quick ? 50 : 10_000;
const ROUNDS = quick ? 1 : 3;
/** An address where no pod answers. */
const DEAF = toAddress(FIRST_POD + 65_000);

async function round(subject: Subject, times: Map<string, number[]>): Promise<void> {
  const keep = (name: string, ms: number) => times.set(name, [...(times.get(name) ?? []), ms]);
  await using ground = await Ground.create({ clients: 1, pods: 1 });
  const pod = ground.pods[0];
  await ground.node.ip(`route add ${POD_NETWORK} via ${pod.address} dev pod1`);
  const server = ground.stack.use(pod.namespace.start("ping", [program("ping"), "serve", String(POD_PORT)]));
  await untilListening(server.pid, "udp", POD_PORT);
  const services: Service[] = makeServices(COUNT + 1);
  const last = services[COUNT];
  last.pods = [DEAF];
  await using running = await subject.start(ground);
  const before = performance.now();
  await running.apply(services);
  keep("apply", performance.now() - before);
  for (const [how, change] of Object.entries(running.changes)) {
    keep(how, await untilReached(ground, last.vip, () => change(last, pod.address)));
    await running.changes[how]({ ...last, pods: [pod.address] }, DEAF);
  }
}

await requireGround();
await compileTraffic();
const recorder = new Recorder(out < 0 ? undefined : Deno.args[out + 1]);
const times = new Map(SUBJECTS.map((subject) => [subject, new Map<string, number[]>()]));
for (let i = 0; i < ROUNDS; i++) {
  for (const subject of SUBJECTS) await round(subject, times.get(subject)!);
}
for (const [{ name: contestant }, figures] of times) {
  for (const [name, samples] of figures) {
    const params = { contestant, services: COUNT };
    recorder.add({ suite: "control", name, params, unit: "ms", better: "less" }, samples);
  }
}
await daemonMemory(COUNT, recorder);
Deno.exit(0); // the cleanup's pipe would keep the process
