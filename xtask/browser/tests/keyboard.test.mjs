// Everything can be done with the keyboard alone: from the sign-in to the end of a migration. Nothing is clicked here, and
// locators only say which element has the focus.
import assert from "node:assert/strict";

import { assertSeen, inBrowser, open } from "../harness/test.mjs";
import { OWNER, PASSWORD } from "../harness/service.mjs";
import {
  ENGLISH, SLOW, WORK_MILLISECONDS, assertRuns, assertSuccessful, jobOf, place, targetDatabase,
} from "../harness/migration.mjs";

/** No page has more to tab through; a list of clusters has no more to choose from. */
const PRESSES_MAX = 200;

/** Presses a key, after which whoever looks at the screen sees where the focus is. */
async function press(page, key) {
  await page.keyboard.press(key);
  const fault = await page.evaluate(() => {
    const element = document.activeElement;
    // Behind the last element is the first one again, and between them nothing.
    if (!element || element === document.body) return "";
    const told = `${element.localName} "${(element.innerText || element.name || element.id || "").trim().slice(0, 40)}"`;
    if (!element.matches(":focus-visible")) return `${told} does not match :focus-visible`;
    const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element);
    const isDrawn = outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 1 && !/, 0\)$|transparent/.test(outlineColor);
    if (!isDrawn) return `${told} has no outline`;
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const seen = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    if (!seen) return `${told} is outside of the window`;
    return element.contains(seen) || seen.contains(element) ? "" : `${told} is covered by ${seen.localName}`;
  });
  assert.equal(fault, "", `the focus is not seen: ${page.url()}`);
}

function hasFocus(locator) {
  return locator.evaluate((element) => element === document.activeElement);
}

/** Tabs to an element, forward or back. */
async function tabTo(page, locator, key = "Tab") {
  await assertSeen(locator);
  for (let presses = 0; presses < PRESSES_MAX; presses += 1) {
    await press(page, key);
    if (await hasFocus(locator)) return;
  }
  assert.fail(`${locator} is not reached with ${key}: ${page.url()}`);
}

/** Tabs to a group of radio buttons, and chooses one with the arrows. */
async function choose(page, group, radio) {
  await assertSeen(radio);
  const isIn = () => group.evaluate(
    (element) => element.contains(document.activeElement) && document.activeElement.type === "radio",
  );
  for (let presses = 0; !(await isIn()); presses += 1) {
    assert.ok(presses < PRESSES_MAX, `${group} is not reached: ${page.url()}`);
    await press(page, "Tab");
  }
  await press(page, "Space");
  for (let presses = 0; !(await radio.isChecked()); presses += 1) {
    assert.ok(presses < PRESSES_MAX, `${radio} is not reached: ${page.url()}`);
    await press(page, "ArrowDown");
  }
  assert.ok(await hasFocus(radio));
}

async function type(page, locator, text) {
  await tabTo(page, locator);
  await page.keyboard.type(text);
}

async function enter(page, locator) {
  await tabTo(page, locator);
  await page.keyboard.press("Enter");
}

inBrowser("from the sign-in to the end of a migration with the keyboard", { signedIn: false }, async ({ page, rest, t }) => {
  const { project, sourceName } = await place(rest, "Keyboard");
  const { db, isWrittenBy } = targetDatabase(rest, t);
  const button = (name) => page.getByRole("button", { name, exact: true });
  const group = (name) => page.getByRole("group", { name, exact: true });

  // Who is not signed in is asked to, and comes back.
  await open(page, `/p/${project}/migrations`);
  await type(page, page.getByLabel("Email", { exact: true }), OWNER);
  await type(page, page.getByLabel("Password", { exact: true }), PASSWORD);
  await page.keyboard.press("Enter");
  await page.waitForURL((address) => address.pathname === `/p/${project}/migrations`);
  await enter(page, page.getByRole("link", { name: "Skip to content", exact: true }));
  await press(page, "Tab");
  assert.ok(await hasFocus(page.getByRole("link", { name: "New migration", exact: true })), "the navigation is skipped");
  await page.keyboard.press("Enter");

  await choose(page, group("Source cluster"), page.getByRole("radio", { name: new RegExp(`^${sourceName} `) }));
  await enter(page, button(ENGLISH.chooseCollections));

  const search = page.getByLabel("Search collections");
  await type(page, search, "product");
  const products = page.getByRole("checkbox", { name: /^products/ });
  await tabTo(page, products);
  await press(page, "Space");
  assert.ok(await products.isChecked());
  await tabTo(page, search, "Shift+Tab");
  await enter(page, button(ENGLISH.chooseTarget));

  await choose(page, group("Target cluster"), page.getByRole("radio", { name: /^new / }));
  await choose(page, group("Database on the target"), page.getByLabel(ENGLISH.useOtherNames));
  await type(page, page.getByLabel(ENGLISH.becomes), db);
  await enter(page, button(ENGLISH.check));

  await assertSeen(page.getByText(ENGLISH.fine), WORK_MILLISECONDS);
  await enter(page, page.getByRole("link", { name: ENGLISH.review, exact: true }));

  await choose(page, group("Verification"), page.getByRole("radio", { name: /^Every row/ }));
  await type(page, page.getByLabel(ENGLISH.atMost), SLOW);
  await tabTo(page, page.getByLabel(ENGLISH.stopped));
  await press(page, "Space");
  await enter(page, button(ENGLISH.start));
  isWrittenBy(await jobOf(page));

  await assertRuns(page, ENGLISH);
  await enter(page, page.getByText(ENGLISH.limit, { exact: true }));
  await enter(page, button(ENGLISH.noLimit));
  await assertSuccessful(page, ENGLISH);
});
