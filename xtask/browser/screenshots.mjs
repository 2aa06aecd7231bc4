// Takes a picture of each screen in both languages and themes, on a wide and on a narrow window, and makes an index of them.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { launch, newContext, overflow, overlaps, seriousViolations } from "./harness/browser.mjs";
import { Rest } from "./harness/service.mjs";
import { screens } from "./screens.mjs";

const LANGUAGES = { en: "en-US", zh: "zh-CN" };
const THEMES = ["light", "dark"];
const WIDTHS = [1280, 375];
const HEIGHT = 800;
/** Pages that are longer are cut off. */
const HEIGHT_MAX = 6_000;

const directory = process.env.VECFERRY_SCREENSHOTS;
const pattern = process.argv[2] ?? "";
const chosen = screens.filter((screen) => screen.name.includes(pattern));

async function prepared(rest) {
  const given = { rest, org: await rest.organization(), project: await rest.firstProject() };
  const made = [];
  for (const screen of chosen) {
    const own = screen.prepare ? await screen.prepare(given) : {};
    made.push({ ...screen, given: { ...given, ...own } });
  }
  return made;
}

async function take(context, screen, file) {
  const page = await context.newPage();
  try {
    const response = await page.goto(screen.path(screen.given));
    if (screen.ready) await screen.ready(page);
    if (screen.act) await screen.act(page);
    const height = await page.evaluate(() => document.documentElement.scrollHeight);
    const { width } = page.viewportSize();
    await page.setViewportSize({ width, height: Math.min(Math.max(height, HEIGHT), HEIGHT_MAX) });
    await page.screenshot({ path: join(directory, file) });
    const wider = await overflow(page);
    const isRefused = response.status() >= 400 && response.status() !== screen.status;
    const troubles = [...(isRefused ? [`status ${response.status()}`] : []), ...(wider > 0 ? [`${wider} px too wide`] : [])];
    return [...troubles, ...(await overlaps(page)), ...(await seriousViolations(page))];
  } finally {
    await page.close();
  }
}

function index(pictures) {
  const rows = chosen.map(({ name }) => {
    const own = pictures.filter((picture) => picture.name === name);
    const figures = own.map(({ file, width, trouble }) =>
      `<figure><a href="${file}"><img src="${file}" width="${width / 4}" loading="lazy" alt=""></a><figcaption>${file}${trouble ? ` <b>${trouble}</b>` : ""}</figcaption></figure>`);
    return `<h2>${name}</h2><div>${figures.join("")}</div>`;
  });
  return `<!doctype html><meta charset="utf-8"><title>Screens</title>
<style>body{font:13px system-ui;margin:24px;background:#888}div{display:flex;flex-wrap:wrap;gap:12px;align-items:flex-start}figure{margin:0}b{color:#a00}</style>
${rows.join("\n")}\n`;
}

// Pictures of a screen that is no more would stay in the index's folder.
if (!pattern) rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
const rest = await Rest.signIn();
const made = await prepared(rest);
const browser = await launch();
const pictures = [];
for (const [lang, locale] of Object.entries(LANGUAGES)) {
  for (const colorScheme of THEMES) {
    for (const width of WIDTHS) {
      const look = { locale, colorScheme, width, height: HEIGHT };
      // One context for each who looks; nobody is one of them.
      const contexts = new Map();
      for (const screen of made) {
        const who = screen.signedIn === false ? undefined : (screen.as?.(screen.given) ?? rest);
        if (!contexts.has(who)) contexts.set(who, await newContext(browser, { ...look, rest: who }));
        const { context, offences } = contexts.get(who);
        const file = `${screen.name}.${lang}.${colorScheme}.${width}.png`;
        const failed = await take(context, screen, file).catch((error) => [String(error).split("\n")[0]]);
        const troubles = [...failed, ...offences.splice(0)];
        pictures.push({ name: screen.name, file, width, trouble: troubles.join("; ") });
        for (const trouble of troubles) console.error(`${file}: ${trouble}`);
      }
      for (const { context } of contexts.values()) await context.close();
    }
  }
}
await browser.close();
const path = join(directory, "index.html");
writeFileSync(path, index(pictures));
console.log(`${pictures.length} pictures: ${path}`);
process.exitCode = pictures.some((picture) => picture.trouble) ? 1 : 0;
