/** JSON-RPC without a socket: the examples of the specification, and any bytes at all. */

import { assert, assertEquals } from "@std/assert";
import { ConfigError } from "../../../mod/config/model.ts";
import { answerLine, type Handler } from "../../../mod/control/rpc_answer.ts";
import { Random } from "../config/random.ts";

const handlers: Record<string, Handler> = {
  echo: (params) => params,
  nothing: () => undefined,
  refuse: () => {
    throw new ConfigError("port", "70000", "give a number from 1 to 65535");
  },
  crash: () => {
    throw new TypeError("x is undefined");
  },
  later: async (params) => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    return params;
  },
};

function answer(line: string, onInternalError?: (method: string, error: unknown) => void): Promise<unknown> {
  return answerLine(new TextEncoder().encode(line), { handlers, onInternalError });
}

const error = (id: unknown, code: number, message: string) => ({
  jsonrpc: "2.0",
  id,
  error: { code, message },
});
const INVALID = error(null, -32600, "Invalid Request");

/** A line and its response. */
const CASES: readonly [string, unknown][] = [
  ['{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":1}}', { jsonrpc: "2.0", id: 1, result: { a: 1 } }],
  ['{"jsonrpc":"2.0","id":"x","method":"echo"}', { jsonrpc: "2.0", id: "x", result: {} }],
  ['{"jsonrpc":"2.0","id":1,"method":"nothing"}', { jsonrpc: "2.0", id: 1, result: null }],
  ['{"jsonrpc":"2.0","id":null,"method":"nothing"}', { jsonrpc: "2.0", id: null, result: null }],
  ['{"jsonrpc":"2.0","id":1,"method":"later","params":[1]}', { jsonrpc: "2.0", id: 1, result: [1] }],
  ['{"jsonrpc":"2.0","id":1,"method":"gone"}', error(1, -32601, "Method not found: gone")],
  ['{"jsonrpc":"2.0","id":1,"method":"constructor"}', error(1, -32601, "Method not found: constructor")],
  ['{"jsonrpc":"2.0","id":1,"method":"refuse"}', error(1, 1, "port : 70000, give a number from 1 to 65535")],
  ['{"jsonrpc":"2.0","id":1,"method":"crash"}', error(1, -32603, "x is undefined")],
  // Notifications are carried out and not answered, whatever becomes of them.
  ['{"jsonrpc":"2.0","method":"echo"}', null],
  ['{"jsonrpc":"2.0","method":"gone"}', null],
  ['{"jsonrpc":"2.0","method":"crash"}', null],
  ["", null],
  ["  \r", null],
  ['{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', error(null, -32700, "Parse error")],
  ['{"jsonrpc":"2.0","method":1,"params":"bar"}', INVALID],
  ['{"jsonrpc":"2.0","id":7,"method":"echo","params":"bar"}', error(7, -32600, "Invalid Request")],
  ['{"jsonrpc":"2.0","id":{},"method":"echo"}', INVALID],
  ['{"id":7,"method":"echo"}', error(7, -32600, "Invalid Request")],
  ["null", INVALID],
  ["1", INVALID],
  ["[]", INVALID],
  ["[1,2]", [INVALID, INVALID]],
  ['[{"jsonrpc":"2.0","method":"echo"}]', null],
  [
    '[{"jsonrpc":"2.0","id":2,"method":"later","params":[2]},1,{"jsonrpc":"2.0","id":1,"method":"echo"}]',
    [{ jsonrpc: "2.0", id: 2, result: [2] }, INVALID, { jsonrpc: "2.0", id: 1, result: {} }],
  ],
];

for (const [line, expected] of CASES) {
  Deno.test(`answerLine: ${line || "an empty line"}`, async () => assertEquals(await answer(line), expected));
}

Deno.test("answerLine reports exceptions of handlers, but not what they say to the user", async () => {
  const reported: string[] = [];
  for (const method of ["crash", "refuse"]) {
    await answer(`{"jsonrpc":"2.0","id":1,"method":"${method}"}`, (name, error) => {
      reported.push(`${name}: ${error instanceof Error ? error.message : error}`);
    });
  }
  assertEquals(reported, ["crash: x is undefined"]);
});

Deno.test("answerLine answers any bytes, and mutations of good requests, without an exception", async () => {
  const good = CASES.map(([line]) => new TextEncoder().encode(line)).filter((line) => line.length > 0);
  for (let seed = 0; seed < 20_000; seed++) {
    const random = new Random(seed);
    const line = random.oneIn(4) ? random.bytes(random.below(64)) : random.pick(good).slice();
    for (let edits = random.below(4); edits > 0 && line.length > 0; edits--) {
      line[random.below(line.length)] = random.oneIn(2)
        ? random.below(256)
        : random.pick([...'{}[]":,0aul\\\n']).charCodeAt(0);
    }
    const response = await answerLine(line.subarray(0, random.below(line.length + 1)), { handlers });
    for (const one of Array.isArray(response) ? response : [response]) {
      assert(one === null || one.jsonrpc === "2.0" && ("result" in one || "error" in one), `seed ${seed}`);
    }
  }
});
