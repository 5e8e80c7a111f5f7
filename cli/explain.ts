/** `ku explain`: what would happen to a packet. */

import type { ExplainParams, Explanation } from "../mod/control/protocol.ts";
import { PROTOCOLS } from "../mod/config/model.ts";
import { checkProtocol } from "../mod/config/rules.ts";
import { type Options, runConnected, type Task } from "./client.ts";
import { print, printJson } from "./output.ts";
import type { Description } from "./spec.ts";
import { isStyled, styled } from "./style.ts";
import { WordReader } from "./words.ts";

export const description: Description = {
  command: "explain",
  summary: "tell what would happen to a packet",
  about: [
    "Asks the datapath what it would do with a packet from a client to a VIP: which service, slot, pod and session, how it would be " +
    "rewritten, where it would leave, or why it would not. It is the first of its connection, or one in the middle of it where there " +
    "is a session. No packet is sent and nothing is changed.",
    "The protocol is that of the service at this address and port unless it is named, the interface the one that the way back to " +
    "the client leads through.",
  ],
  forms: [{
    lead: [],
    args: [
      { value: { name: "<client:port>" }, required: true, help: "Who would send it." },
      { value: { name: "<vip:port>" }, required: true, help: "To whom." },
      { words: PROTOCOLS, help: "By which protocol." },
      {
        words: ["interface"],
        value: { name: "<intfc>", completes: "interface" },
        help: "Where it would come in.",
      },
    ],
  }],
  options: [{ words: ["--json"], help: "The same as JSON." }],
  examples: [
    { line: "ku explain 10.1.1.2:40000 10.96.0.10:80" },
    { line: "ku explain [2001:db8::7]:40000 [2001:db8:96::10]:53 udp interface eth0" },
  ],
};

/** The words after `ku explain`. */
export function parse(words: readonly string[]): ExplainParams {
  const reader = new WordReader(description, words);
  const params: ExplainParams = { client: "", vip: "" };
  for (let word = reader.next(); word !== undefined; word = reader.next()) {
    if (word === "interface") params.interface = reader.text(word);
    else if ((PROTOCOLS as readonly string[]).includes(word)) {
      if (params.protocol !== undefined) {
        throw reader.usage(`"${params.protocol}" and "${word}" exclude each other`);
      }
      params.protocol = checkProtocol(word);
    } else if (params.client === "") params.client = reader.positional(word);
    else if (params.vip === "") params.vip = reader.positional(word);
    else throw reader.unknown(word);
  }
  if (params.client === "") throw reader.missing("the client");
  if (params.vip === "") throw reader.missing("the VIP");
  return params;
}

export function prepare({ words, flags }: Options): Task {
  const params = parse(words);
  return async (connection) => {
    const answer = await connection.call("explain", params);
    if (flags.has("json")) printJson(answer);
    else print(formatExplanation(answer, isStyled()));
  };
}

export function run(args: string[]): Promise<number | void> {
  return runConnected(args, description, prepare);
}

/** A line for each step that the packet takes. */
export function formatExplanation(answer: Explanation, style = false): string {
  const { packet, service, session, slot, slots, pod, rewrite, route, verdict, counted } = answer;
  const lines: [string, string][] = [["packet", `${packet}, in by ${answer.interface}`]];
  lines.push(["service", service === null ? "none" : serviceText(service)]);
  if (session !== null) {
    const { worker, state, idleSeconds, timeoutSeconds } = session;
    lines.push(["session", `${state}, idle ${idleSeconds}s of ${timeoutSeconds}s, worker ${worker}`]);
  } else if (pod !== null) {
    lines.push(["session", "new"]);
  }
  if (slot !== null && slots !== null) lines.push(["slot", `${slot} of ${slots}`]);
  if (pod !== null) lines.push(["pod", pod]);
  if (rewrite !== null && rewrite !== packet) lines.push(["out", rewrite]);
  if (route !== null) {
    const neighbor = route.mac === null ? route.nextHop : `${route.nextHop} (${route.mac})`;
    lines.push(["route", route.interface === null ? `to ${neighbor}` : `${route.interface} to ${neighbor}`]);
  }
  const reasons = counted.map(({ node, reason }) => `${node}: ${reason}`).join("; ");
  const color = verdict === "sent" ? "green" : verdict === "dropped" ? "red" : "yellow";
  lines.push(["verdict", styled(verdict, color, style) + (reasons === "" ? "" : ` (${reasons})`)]);
  return lines.map(([name, text]) => `${name.padEnd(8)} ${text}\n`).join("");
}

function serviceText({ prefix, protocol, port, type, pods }: NonNullable<Explanation["service"]>): string {
  const ports = port === null ? "every port" : `${protocol ?? "any"} ${port}`;
  return `${prefix} ${ports}, ${type}, ${pods} ${pods === 1 ? "pod" : "pods"}`;
}
