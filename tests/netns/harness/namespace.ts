/** Network namespaces, of ku's own ground. */

import "./cleanup.ts";

export * from "../../../mod/control/ground/namespace.ts";
