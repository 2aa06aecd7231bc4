// The packages of package-lock.json. `cargo xtask browser` installs them under target/, where Node does not look by itself.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const from = createRequire(process.env.VECFERRY_BROWSER_PACKAGES);

export const { chromium } = from("playwright-core");
export const axeSource = readFileSync(from.resolve("axe-core/axe.min.js"), "utf8");
