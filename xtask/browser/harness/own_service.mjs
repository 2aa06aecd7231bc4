// A service of a test's own: `vecferry serve` with a state directory and an organization that no other test has, so that it can
// be killed, and its settings changed. It always ends with its test.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { Rest } from "./service.mjs";

const START_MILLISECONDS_MAX = 60_000;
const END_MILLISECONDS_MAX = 20_000;
/** Settings of whoever runs the tests are not those of the service. */
const SETTINGS = /^VECFERRY_(SERVE_|STORE$|KEY$|STATE_DIR$)/;

/** What is to end with this process, also where the test runner ends it because it took too long. */
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
process.once("SIGTERM", () => process.exit(1));
process.once("SIGINT", () => process.exit(1));

export class OwnService {
  /** Starts one on a free port. */
  static async start() {
    const service = new OwnService();
    try {
      await service.begin("127.0.0.1:0");
    } catch (error) {
      await service.end();
      throw error;
    }
    return service;
  }

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), "vecferry-browser-"));
  }

  /** The owner of its organization; once. */
  owner() {
    return Rest.signInByLink(this.link.split("#")[1], this.url);
  }

  async begin(listen) {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !SETTINGS.test(name)));
    const limits = ["--requests-per-second", "10000", "--requests-burst", "10000"];
    const options = ["--json", "--quiet", "--lang", "en", "--state-dir", this.directory, "--listen", listen, ...limits];
    this.child = spawn(process.env.VECFERRY_PROGRAM, ["serve", ...options], { env, stdio: ["ignore", "pipe", "ignore"] });
    this.over = once(this.child, "close");
    // A program that can't be started has no end.
    this.over.catch(() => {});
    running.add(this.child);
    const signal = AbortSignal.timeout(START_MILLISECONDS_MAX);
    const first = once(createInterface({ input: this.child.stdout }), "line", { signal });
    first.catch(() => {});
    const isOver = this.over.then(() => ["the program ended"]);
    const [line] = await Promise.race([first, isOver]);
    if (!line.startsWith("{")) throw new Error(`the service does not start: ${line}`);
    const told = JSON.parse(line);
    if (told.event !== "listening") throw new Error(`the service does not start: ${line}`);
    this.url = told.url;
    this.link ??= told.sign_in_link;
  }

  /** Ends it as a power failure would. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.over;
    running.delete(this.child);
  }

  /** Starts it again where it was. */
  startAgain() {
    return this.begin(new URL(this.url).host);
  }

  async end() {
    if (this.child && this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill("SIGTERM");
      const timer = setTimeout(() => this.child.kill("SIGKILL"), END_MILLISECONDS_MAX);
      await this.over.catch(() => {});
      clearTimeout(timer);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}
