/** ffi/build/steps.ts: work is done once, and a failing command says what failed and what to do. */

import { assertEquals, assertRejects } from "@std/assert";
import { makeOnce, ROOT, runCommand, StepError } from "../../../../ffi/build/steps.ts";

Deno.test("makeOnce() acts again when an input changes, an output is gone, or the settings differ, else never", async () => {
  const folder = Deno.makeTempDirSync();
  const step = `test-${Deno.pid}`;
  const [input, output] = [`${folder}/input`, `${folder}/output`];
  let acted = 0;
  const make = (settings: string) =>
    makeOnce(step, { inputs: [input], outputs: [output], settings }, () => {
      acted++;
      Deno.writeTextFileSync(output, "made");
    });
  try {
    Deno.writeTextFileSync(input, "one");
    await make("a");
    await make("a");
    assertEquals(acted, 1);
    Deno.writeTextFileSync(input, "more");
    await make("a");
    assertEquals(acted, 2);
    // Older than before is a change as well.
    Deno.utimeSync(input, 1, 1);
    await make("a");
    assertEquals(acted, 3);
    Deno.removeSync(output);
    await make("a");
    assertEquals(acted, 4);
    await make("b");
    await make("b");
    assertEquals(acted, 5);
  } finally {
    Deno.removeSync(folder, { recursive: true });
    Deno.removeSync(`${ROOT}/dist/stamps/${step}`);
  }
});

Deno.test("runCommand() gives standard output, and fails in one line with a remedy", async () => {
  const options = { step: "test", what: "trying", remedy: "try again" };
  assertEquals(await runCommand("sh", ["-c", "echo out; echo err >&2"], options), "out\n");
  const failing = await assertRejects(() => runCommand("sh", ["-c", "exit 7"], options), StepError);
  assertEquals(failing.message, "trying failed (sh: exit code 7), try again");
  const missing = await assertRejects(() => runCommand("no-such-command", [], options), StepError);
  assertEquals(missing.message, "trying failed (no command no-such-command), try again");
});
