// To sign in by a link and by a password, to sign out, and how pages look.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, signInByForm, unique } from "../harness/test.mjs";
import { OWNER, PASSWORD, Rest } from "../harness/service.mjs";

/** Somebody who was invited and has no password yet. */
async function invited(rest, role = "member") {
  const name = unique("Alice");
  const email = `${name.toLowerCase().replace(" ", "-")}@example.com`;
  const { linkToken } = await rest.invite(email, name, role);
  return { email, name, linkToken };
}

const isPath = (path) => (address) => address.pathname === path;
const isProjects = (address) => /^\/o\/org-[0-9a-f]+\/projects$/.test(address.pathname);

inBrowser("a one-time link signs in once, and a password is set", { signedIn: false }, async ({ page, context, rest }) => {
  const { email, name, linkToken } = await invited(rest);
  await page.goto(`/setup#${linkToken}`);
  await page.waitForURL(isPath("/setup/account"));
  assert.ok(!page.url().includes(linkToken), "the token left the address");
  await assertUsable(page);
  assert.equal(await page.getByLabel("Name").inputValue(), name);
  assert.equal(await page.getByLabel("Email").inputValue(), email);

  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Repeat the password").fill(`${PASSWORD}!`);
  await page.getByRole("button", { name: "Save" }).click();
  await assertSeen(page.getByRole("alert").getByText("the two passwords differ"));
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Repeat the password").fill(PASSWORD);
  await page.getByRole("button", { name: "Save" }).click();
  await page.waitForURL(isProjects);

  await context.clearCookies();
  await page.goto(`/setup#${linkToken}`);
  await assertSeen(page.getByRole("alert"));
  assert.equal((await context.cookies()).length, 0, "a link signs in once");
  await Rest.signIn(email, PASSWORD);
});

inBrowser("without scripts the whole link is pasted", { signedIn: false, javaScriptEnabled: false }, async ({ page, rest }) => {
  const { email, linkToken } = await invited(rest);
  await open(page, "/setup");
  await page.getByLabel("One-time sign-in link").fill(`http://localhost/setup#${linkToken}`);
  await page.getByRole("button", { name: "Continue" }).click();
  assert.equal(await page.getByLabel("Email").inputValue(), email);
});

inBrowser("somebody signs in, out and in again", { signedIn: false }, async ({ page }) => {
  await page.goto("/");
  await assertSeen(page.getByRole("heading", { name: "Sign in" }));
  await assertUsable(page);
  await signInByForm(page, OWNER, "not this password");
  await assertSeen(page.getByRole("alert").getByRole("link", { name: /^VF-\d{4}$/ }));
  assert.equal(await page.getByLabel("Email").inputValue(), OWNER);
  assert.equal(await page.getByLabel("Password").inputValue(), "");

  await signInByForm(page, OWNER, PASSWORD);
  await page.waitForURL(isProjects);
  const account = page.getByText("Account of");
  await page.getByRole("banner").locator("summary").filter({ has: account }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(isPath("/sign-in"));
  await page.goto("/");
  await assertSeen(page.getByRole("heading", { name: "Sign in" }));
  await signInByForm(page, OWNER, PASSWORD);
  await page.waitForURL(isProjects);
});

inBrowser("a page that was asked for comes after the sign-in", { signedIn: false }, async ({ page, rest }) => {
  const path = `/o/${await rest.organization()}/projects`;
  await page.goto(path);
  await signInByForm(page, OWNER, PASSWORD);
  await page.waitForURL(isPath(path));
});

inBrowser("the language is that of the browser until another is chosen", { signedIn: false, locale: "zh-CN" }, async ({ page }) => {
  await open(page, "/sign-in");
  await assertSeen(page.getByRole("heading", { name: "登录" }));
  assert.equal(await page.locator("html").getAttribute("lang"), "zh-CN");
  await assertUsable(page);
  await page.getByRole("button", { name: "English" }).click();
  await assertSeen(page.getByRole("heading", { name: "Sign in" }));
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
  await open(page, "/setup");
  await page.getByRole("button", { name: "中文" }).click();
  await assertSeen(page.getByRole("heading", { name: "欢迎使用 Vecferry" }));
});

const background = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);

inBrowser("the theme is the system's until another is chosen", { signedIn: false, colorScheme: "dark" }, async ({ page }) => {
  await open(page, "/sign-in");
  const dark = await background(page);
  await assertUsable(page);
  await page.getByRole("button", { name: "Light" }).click();
  await assertSeen(page.getByRole("button", { name: "System colors" }));
  const light = await background(page);
  assert.notEqual(light, dark);
  await assertUsable(page);
  await page.getByRole("button", { name: "System colors" }).click();
  await assertSeen(page.getByRole("button", { name: "Light" }));
  assert.equal(await background(page), dark);
  await page.emulateMedia({ colorScheme: "light" });
  assert.equal(await background(page), light);
});

inBrowser("each press of the theme's button changes what is seen", { signedIn: false }, async ({ page }) => {
  await open(page, "/sign-in");
  const button = page.locator(".preferences button[name=theme]:visible");
  for (const colorScheme of ["light", "dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    for (let press = 0; press < 3; press += 1) {
      const before = await background(page);
      assert.equal(await button.count(), 1);
      await button.click();
      await page.waitForLoadState();
      assert.notEqual(await background(page), before, `press ${press + 1} in a ${colorScheme} system`);
    }
  }
});

inBrowser("signing in works on a phone", { signedIn: false, locale: "zh-CN", width: 375 }, async ({ page }) => {
  await open(page, "/sign-in");
  await assertUsable(page);
  await signInByForm(page, OWNER, PASSWORD, { email: "邮箱", password: "密码", button: "登录" });
  await page.waitForURL(isProjects);
  await assertUsable(page);
});

inBrowser("an account gets another name", { as: async (rest) => Rest.signInByLink((await invited(rest)).linkToken) }, async ({ page }) => {
  await open(page, "/setup/account");
  await page.getByLabel("Name").fill("Bob Example");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Repeat the password").fill(PASSWORD);
  await page.getByRole("button", { name: "Save" }).click();
  await page.waitForURL(isProjects);
  await assertSeen(page.getByText("Account of Bob Example"));
});
