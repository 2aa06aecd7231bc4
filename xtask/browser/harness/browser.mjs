// Chromium, and contexts in which everything that a page must not do is noticed.
import { axeSource, chromium } from "./packages.mjs";
import { url } from "./service.mjs";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** Whatever is waited for comes within this time. */
const WAIT_MILLISECONDS = 15_000;

export function launch() {
  const executablePath = process.env.VECFERRY_CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, headless: true, args: ARGUMENTS });
}

/**
 * A context of its own, and what its pages did that they must not do: requests to elsewhere, errors in the console (a
 * violation of the content security policy is one), exceptions, files that could not be loaded, answers that are 5xx.
 */
export async function newContext(browser, options = {}) {
  const { locale = "en-US", colorScheme = "light", width = 1280, height = 800, rest, javaScriptEnabled = true } = options;
  const context = await browser.newContext({
    baseURL: url,
    locale,
    colorScheme,
    javaScriptEnabled,
    viewport: { width, height },
    timezoneId: "Asia/Shanghai",
    reducedMotion: "reduce",
  });
  context.setDefaultTimeout(WAIT_MILLISECONDS);
  if (rest) await context.addCookies([rest.cookie()]);
  const offences = [];
  await context.route((address) => !isOwn(address.href), (route) => {
    offences.push(`request to elsewhere: ${route.request().url()}`);
    return route.abort();
  });
  context.on("response", (response) => {
    const status = response.status();
    const isPage = response.request().isNavigationRequest();
    if (status >= (isPage ? 500 : 400)) offences.push(`${status} for ${response.request().method()} ${response.url()}`);
  });
  context.on("console", (message) => {
    // Chromium tells of each answer that is a refusal; the ones that matter are noticed above.
    const isRefusal = message.text().startsWith("Failed to load resource: the server responded with");
    if (message.type() === "error" && !isRefusal) offences.push(`console: ${message.text()}`);
  });
  context.on("weberror", (error) => offences.push(`exception: ${error.error()}`));
  return { context, offences };
}

function isOwn(address) {
  return address === url || address.startsWith(`${url}/`) || /^(about|blob|data):/.test(address);
}

/** Violations of the rules of axe that are serious or critical, one a line; empty where all is well. */
export async function seriousViolations(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter((violation) => ["serious", "critical"].includes(violation.impact))
    .map((violation) => {
      const nodes = violation.nodes.slice(0, 5).map((node) => `${node.target} ${node.failureSummary}`);
      return `${violation.id}: ${violation.help}\n    ${nodes.join("\n    ").replaceAll(/\n\s*/g, " ")}`;
    });
}

/** How many pixels a page is wider than its window. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}
