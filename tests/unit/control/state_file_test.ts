/** The saved configuration: whole at every moment, few writes for many changes, nothing lost at the end, and a disk that fails is no end. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { documentOf } from "../../../mod/config/document.ts";
import { loadConfig } from "../../../mod/config/file.ts";
import { ConfigError } from "../../../mod/config/model.ts";
import { ConfigState } from "../../../mod/config/state.ts";
import { Log } from "../../../mod/control/log.ts";
import { StateFile } from "../../../mod/control/state_file.ts";

const log = new Log("error", "text");

const read = (folder: string) => loadConfig(StateFile.read(folder)!, "ku.json");

Deno.test("StateFile: every state read meanwhile is a whole one, and the last is there after close", async () => {
  const folder = `${await Deno.makeTempDir()}/deep/er`;
  const state = new ConfigState();
  const file = new StateFile(folder, state, log);
  assertEquals(StateFile.read(folder), null);
  const sizes = new Set<number>();
  for (let n = 0; n < 300; n++) {
    state.apply({ method: "vip", params: { prefix: `10.0.${n >> 8}.${n & 255}`, port: 80 } });
    file.save();
    // Whatever turn of the event loop it is: no file yet, or one that reads well.
    if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve));
    if (StateFile.read(folder) !== null) sizes.add(read(folder).vips.size);
  }
  await file.close();
  assertEquals(documentOf(read(folder)), documentOf(state));
  assert(sizes.size < 100, `${sizes.size} writes seen for 300 changes`);
  assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), ["ku.json"]);
  assertEquals(Deno.statSync(file.path).mode! & 0o777, 0o600);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("StateFile: after a failure the next change, or the end, tries again", async () => {
  const folder = await Deno.makeTempDir();
  const state = new ConfigState();
  const said: string[] = [];
  const file = new StateFile(folder, state, new Log("error", "text", (line) => said.push(line)));
  // A folder in the way of the unfinished file.
  Deno.mkdirSync(`${file.path}.new`);
  state.apply({ method: "conf", params: { timeout: 77 } });
  file.save();
  while (said.length === 0) await new Promise((resolve) => setTimeout(resolve));
  assertMatch(said[0], /^error state-dir .* : the configuration could not be saved: /);
  assertEquals(StateFile.read(folder), null);
  Deno.removeSync(`${file.path}.new`);
  await file.close();
  assertEquals(read(folder).conf.timeout, 77);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("StateFile: a folder that cannot be made, or a file that cannot be read, is said at once", async () => {
  const folder = await Deno.makeTempDir();
  Deno.writeTextFileSync(`${folder}/file`, "");
  assertThrows(
    () => new StateFile(`${folder}/file/state`, new ConfigState(), log),
    ConfigError,
    "state-dir : ",
  );
  Deno.mkdirSync(`${folder}/ku.json`);
  assertThrows(() => StateFile.read(folder), ConfigError, "cannot be read");
  await Deno.remove(folder, { recursive: true });
});
