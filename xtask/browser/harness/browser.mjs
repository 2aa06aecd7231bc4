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
const WAIT_MILLISECONDS = 30_000;

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
  const at = rest?.url ?? url;
  const context = await browser.newContext({
    baseURL: at,
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
  await context.route((address) => !isOwn(address.href, at), (route) => {
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

function isOwn(address, at) {
  return address === at || address.startsWith(`${at}/`) || /^(about|blob|data):/.test(address);
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

/** What people can press or type into and what lies over each other, two a line; empty where all is well. */
export function overlaps(page) {
  return page.evaluate(() => {
    const SELECTOR = "a[href], button, input:not([type=hidden]), select, textarea, summary";
    // A few pixels are the rounding of lines.
    const PIXELS = 4;
    const isShown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    // What opens over the page is meant to cover it, and what is clipped away is for screen readers.
    const isFlat = (element) => {
      for (let at = element; at && at !== document.body; at = at.parentElement) {
        const { position, clipPath, clip } = getComputedStyle(at);
        if (["absolute", "fixed", "sticky"].includes(position) || clipPath !== "none" || clip !== "auto") return false;
      }
      return true;
    };
    const things = [...document.querySelectorAll(SELECTOR)].filter((element) => isShown(element) && isFlat(element));
    // A link that goes over two lines has two boxes, between which others are.
    const boxes = things.map((element) => [...element.getClientRects()].filter(({ width, height }) => width > PIXELS && height > PIXELS));
    const word = (element) => `${element.localName} "${(element.innerText || element.name || element.id || "").trim().slice(0, 40)}"`;
    const cover = (a, b) =>
      Math.min(a.right, b.right) - Math.max(a.left, b.left) > PIXELS && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > PIXELS;
    const found = [];
    for (const [first, one] of things.entries()) {
      for (let second = first + 1; second < things.length && found.length < 10; second += 1) {
        const other = things[second];
        if (one.contains(other) || other.contains(one)) continue;
        if (boxes[first].some((a) => boxes[second].some((b) => cover(a, b)))) found.push(`${word(one)} and ${word(other)} overlap`);
      }
    }
    return found;
  });
}
