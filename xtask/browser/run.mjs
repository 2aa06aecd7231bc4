// Sets the owner's password by the one-time link of the first start, and runs the tests or takes the pictures.
// `cargo xtask browser` and `cargo xtask screenshots` start it, with the service's addresses in variables.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { PASSWORD, Rest } from "./harness/service.mjs";

const here = dirname(fileURLToPath(import.meta.url));
/** `--test-timeout` is for a whole file; that of a test is in harness/test.mjs. */
const FILE_MILLISECONDS_MAX = 900_000;
const [what, pattern] = process.argv.slice(2);

/** The files of tests with a pattern in their name; where there are none, all, of which the tests with it in theirs. */
function testArguments() {
  const directory = join(here, "tests");
  const files = readdirSync(directory).filter((file) => file.endsWith(".test.mjs")).sort();
  const named = files.filter((file) => pattern && file.includes(pattern));
  const chosen = (named.length > 0 ? named : files).map((file) => join(directory, file));
  const byName = pattern && named.length === 0 ? ["--test-name-pattern", pattern] : [];
  return ["--test", "--test-concurrency=2", `--test-timeout=${FILE_MILLISECONDS_MAX}`, "--test-reporter=spec", ...byName, ...chosen];
}

async function prepare() {
  const token = process.env.VECFERRY_LINK.split("#")[1];
  const owner = await Rest.signInByLink(token);
  await owner.put("/v2/session/password", { newPassword: PASSWORD });
}

const commands = {
  browser: testArguments,
  screenshots: () => [join(here, "screenshots.mjs"), ...(pattern ? [pattern] : [])],
};

await prepare();
const child = spawn(process.execPath, commands[what](), { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code) => process.exit(code ?? 1));
