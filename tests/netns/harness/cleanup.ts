/** What takes everything away when a test dies, of ku's own ground. */

import { startKeeper } from "../../../mod/control/ground/cleanup.ts";

export * from "../../../mod/control/ground/cleanup.ts";

// When the module is loaded: a test that started it would be told that it leaks a process.
startKeeper();
