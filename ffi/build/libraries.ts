/**
 * Copies the shared libraries that the executable embeds out of the system's packages, and with them the notices
 * and license texts that have to travel along, into dist/build.
 *
 * Rule: file names are the SONAMEs; ffi/library.ts loads them in the order of LIBRARIES, each before its users.
 */

import { BUILD_FOLDER, exists, makeOnce, ROOT, StepError } from "./steps.ts";

/** SONAME → Debian package. */
const LIBRARIES: Readonly<Record<string, string>> = {
  "libz.so.1": "zlib1g",
  "libelf.so.1": "libelf1",
  "libbpf.so.1": "libbpf1",
  "libxdp.so.1": "libxdp1",
};

/** Texts that the license of libelf (LGPL-3+ or GPL-2+) wants beside a binary. */
const LICENSE_TEXTS = ["GPL-2", "GPL-3", "LGPL-3"].map((name) => `/usr/share/common-licenses/${name}`);

const LIBRARY_FOLDERS = [`/usr/lib/${Deno.build.arch}-linux-gnu`, "/usr/lib64", "/usr/lib"];

/** Throws StepError when a library is not there. */
export async function stageLibraries(): Promise<void> {
  const copies = new Map<string, string>([[`${ROOT}/NOTICE`, "licenses/NOTICE"]]);
  copies.set(`${ROOT}/LICENSE`, "licenses/LICENSE");
  for (const [soname, debianPackage] of Object.entries(LIBRARIES)) {
    copies.set(findLibrary(soname, debianPackage), soname);
    copies.set(`/usr/share/doc/${debianPackage}/copyright`, `licenses/${debianPackage}`);
  }
  for (const path of LICENSE_TEXTS) copies.set(path, `licenses/${path.slice(path.lastIndexOf("/") + 1)}`);
  // Other distributions keep the texts elsewhere; NOTICE says where to get them.
  const sources = [...copies].filter(([source]) => exists(source));
  const inputs = sources.map(([source]) => source);
  const outputs = sources.map(([, name]) => `${BUILD_FOLDER}/${name}`);
  await makeOnce("libraries", { inputs, outputs }, () => {
    Deno.mkdirSync(`${BUILD_FOLDER}/licenses`, { recursive: true });
    for (const [source, name] of sources) {
      Deno.writeFileSync(`${BUILD_FOLDER}/${name}`, Deno.readFileSync(source));
    }
  });
}

function findLibrary(soname: string, debianPackage: string): string {
  const path = LIBRARY_FOLDERS.map((folder) => `${folder}/${soname}`).find(exists);
  if (path === undefined) {
    throw new StepError(
      `no ${soname} in ${LIBRARY_FOLDERS.join(", ")}, install the package ${debianPackage}`,
    );
  }
  return path;
}
