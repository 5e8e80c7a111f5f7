/**
 * Runs every bench of this folder, each as a program of its own, so that none finds the compiler's work of another:
 * `deno run -A bench/run.ts [--quick]`. `--quick` is for seeing that they still run; its numbers mean little.
 */

const names = [...Deno.readDirSync(import.meta.dirname!)].map((entry) => entry.name).sort();
for (const name of names.filter((name) => name.endsWith("_bench.ts"))) {
  console.log(`\n── bench/${name}`);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${import.meta.dirname}/${name}`, ...Deno.args],
    stdin: "null",
  }).spawn();
  const { code } = await child.status;
  if (code !== 0) {
    console.error(`bench/${name} failed (exit code ${code}), see its message above`);
    Deno.exit(1);
  }
}
