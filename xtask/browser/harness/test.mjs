// Tests in a browser. `inBrowser` is `test` of node:test with a page, and it fails where the page did what none may.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";

import { launch, newContext, overflow, overlaps, seriousViolations } from "./browser.mjs";
import { OwnService } from "./own_service.mjs";
import { Rest } from "./service.mjs";

/** How long a test takes at most; the whole of a file has a limit as well, in run.mjs. */
const TEST_MILLISECONDS_MAX = 300_000;

let browser;
let owner;

after(async () => {
  await browser?.close();
});

/** The owner over REST; one session for all tests of a file. */
export async function asOwner() {
  owner ??= Rest.signIn();
  return owner;
}

/**
 * A test with a page.
 *
 * Options: `locale` ("en-US", "zh-CN"), `colorScheme`, `width`, `height`, `javaScriptEnabled`; `signedIn: false` for nobody,
 * `as` for somebody else than the owner (a `Rest`, or what makes one of the owner's); `expected`: texts or patterns of
 * offences that belong to the test; `ownService`: a service of the test's own, without `--demo`, that it may kill.
 *
 * The test is given `{ page, context, offences, rest, service, t }`: `rest` is the owner, whether or not the page is signed in
 * as the owner; `offences` are the texts of what the pages did so far; `service` is its own service, or nothing.
 */
export function inBrowser(name, options, run) {
  if (typeof options === "function") return inBrowser(name, {}, options);
  const { signedIn = true, as = undefined, expected = [], ownService = false, ...look } = options;
  return test(name, { timeout: TEST_MILLISECONDS_MAX }, async (t) => {
    const service = ownService ? await OwnService.start() : undefined;
    if (service) t.after(() => service.end());
    const rest = service ? await service.owner() : await asOwner();
    browser ??= launch();
    browser = await browser;
    const somebody = typeof as === "function" ? await as(rest) : as;
    const { context, offences } = await newContext(browser, { ...look, rest: signedIn ? (somebody ?? rest) : undefined });
    const page = await context.newPage();
    try {
      await run({ page, context, offences, rest, service, t });
      const isExpected = (offence) => expected.some((known) => (known.test ? known.test(offence) : offence.includes(known)));
      assert.deepEqual(offences.filter((offence) => !isExpected(offence)), [], "the pages did what none may do");
    } catch (error) {
      await picture(page, name);
      if (offences.length > 0) t.diagnostic(offences.join("\n"));
      throw error;
    } finally {
      await context.close();
    }
  });
}

/** A failed test leaves a picture. */
async function picture(page, name) {
  const directory = process.env.VECFERRY_FAILURES;
  if (!directory || page.isClosed()) return;
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${name.replaceAll(/[^\p{L}\p{N}]+/gu, "-").slice(0, 80)}.png`);
  await page.screenshot({ path, fullPage: true }).catch(() => {});
}

/** Opens a page that must be there: anything but a 200 fails. */
export async function open(page, path) {
  const response = await page.goto(path);
  assert.equal(response.status(), 200, `${path}: ${response.status()}`);
  return response;
}

/** axe finds nothing serious, nothing needs to be scrolled sideways, and nothing that is pressed lies over another. */
export async function assertUsable(page) {
  assert.deepEqual(await seriousViolations(page), [], `not accessible: ${page.url()}`);
  assert.ok((await overflow(page)) <= 0, `wider than the window: ${page.url()}`);
  assert.deepEqual(await overlaps(page), [], `covered: ${page.url()}`);
}

/** Waits until something is to be seen; `milliseconds`: what takes longer than a page does. */
export async function assertSeen(locator, milliseconds = undefined) {
  await locator.first().waitFor({ state: "visible", timeout: milliseconds });
}

/** A database on the target that no other test writes to. */
export function uniqueDatabase(name = "shop") {
  return unique(name).replaceAll(/\W/g, "_");
}

/** A name that no other test has. */
export function unique(name) {
  return `${name} ${process.pid}-${(counter += 1)}`;
}
let counter = 0;

/** Signs in by the form, as people do. */
export async function signInByForm(page, email, password, words = { email: "Email", password: "Password", button: "Sign in" }) {
  await page.getByLabel(words.email, { exact: true }).fill(email);
  await page.getByLabel(words.password, { exact: true }).fill(password);
  await page.getByRole("button", { name: words.button, exact: true }).click();
}
