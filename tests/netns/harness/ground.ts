/** Clients, a node, pods: the ground that `ku selftest` has, too. */

import "./cleanup.ts";

export * from "../../../mod/control/ground/ground.ts";
