/** The lock file of the executable: what is imported and what that needs, nothing else. */

import { assertEquals } from "@std/assert";
import { shippedLock } from "../../../../ffi/build/shipped.ts";

const integrity = "sha512-x";

Deno.test("shippedLock keeps packages and their dependencies, and leaves out the rest and js-yaml's command line", () => {
  const lock = {
    version: "5",
    specifiers: { "npm:js-yaml@5.5.0": "5.5.0", "npm:ajv@8.20.0": "8.20.0", "npm:@scope/tool@1": "1.2.3" },
    npm: {
      "js-yaml@5.5.0": { integrity, dependencies: ["argparse"] },
      "argparse@3.0.4": { integrity },
      "ajv@8.20.0": { integrity, dependencies: ["fast-uri"] },
      "fast-uri@3.1.9": { integrity },
      "@scope/tool@1.2.3": { integrity, dependencies: ["helper@2.0.0"] },
      "helper@2.0.0": { integrity, dependencies: ["deep"] },
      "helper@1.0.0": { integrity },
      "deep@0.1.0": { integrity },
    },
  };
  assertEquals(shippedLock(lock, ["npm:js-yaml@5.5.0"]), {
    version: "5",
    specifiers: { "npm:js-yaml@5.5.0": "5.5.0" },
    npm: { "js-yaml@5.5.0": { integrity } },
  });
  assertEquals(Object.keys(shippedLock(lock, ["npm:@scope/tool@1"]).npm), [
    "@scope/tool@1.2.3",
    "helper@2.0.0",
    "deep@0.1.0",
  ]);
});
