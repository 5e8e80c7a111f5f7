/** A test that dies by an uncaught error with a namespace and a server in it, for cleanup_test.ts, which names the namespace. */

import { Namespace } from "./namespace.ts";

const name = Deno.env.get("KU_TEST_NAMESPACE");

if (name !== undefined) {
  Deno.test("dies", async () => {
    const namespace = await Namespace.create("dies", name);
    namespace.start("sleep", ["sleep", "1000"]);
    const { promise } = Promise.withResolvers<void>();
    setTimeout(() => {
      throw new Error("nobody catches this");
    }, 0);
    await promise;
  });
}
