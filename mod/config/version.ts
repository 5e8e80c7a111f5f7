/** ku's version, from the one place where it is written. */

import project from "../../deno.json" with { type: "json" };

export const VERSION: string = project.version;
