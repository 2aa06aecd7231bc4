// The whole way of a migration, between two real servers: from a new project to a search on the target.
import assert from "node:assert/strict";

import { assertSeen, assertUsable, inBrowser, open, unique } from "../harness/test.mjs";
import { demo } from "../harness/service.mjs";
import {
  CHINESE, ENGLISH, SLOW, WORK_MILLISECONDS, assertRuns, assertSuccessful, liftLimit, milvus, start, targetDatabase, toReview,
} from "../harness/migration.mjs";

const IN_ENGLISH = {
  ...ENGLISH,
  menu: "Menu",
  migrations: "Migrations",
  clusters: "Clusters",
  projectName: "Name of a new project",
  newProject: "New project",
  register: "Register cluster",
  name: "Name",
  address: "Address (endpoint)",
  credential: "Credential (optional)",
  test: "Test connection",
  connected: "Connected.",
  newMigration: "New migration",
  report: "Report",
  openReport: "Open",
  reportSays: "SUCCESSFUL",
  everyRow: /^Every row arrived/,
  loadAll: "Load those that were loaded on the source",
  loaded: "Done",
  one: "Collection by collection",
  isLoaded: "Loaded",
};

const IN_CHINESE = {
  ...CHINESE,
  menu: "菜单",
  migrations: "数据迁移",
  clusters: "集群",
  projectName: "新项目名称",
  newProject: "新建项目",
  register: "注册集群",
  name: "名称",
  address: "地址（Endpoint）",
  credential: "凭证（可选）",
  test: "测试连接",
  connected: "连接成功。",
  newMigration: "新建迁移",
  report: "报告",
  openReport: "打开",
  reportSays: "SUCCESSFUL（成功）",
  everyRow: /^每一行都已到达/,
  loadAll: "加载源集群上已加载的 Collection",
  loaded: "已完成",
  one: "逐个加载",
  isLoaded: "已加载",
};

/** Goes to a section of the project; on a phone they are in the menu. */
async function to(page, words, section) {
  const menu = page.getByLabel(words.menu, { exact: true });
  if (await menu.isVisible()) await menu.click();
  await page.getByRole("navigation").getByRole("link", { name: section, exact: true }).locator("visible=true").first().click();
}

async function register(page, words, name, address) {
  await page.getByRole("link", { name: words.register, exact: true }).first().click();
  await page.getByLabel(words.name, { exact: true }).fill(name);
  await page.getByLabel(words.address, { exact: true }).fill(address);
  await page.getByLabel(words.credential, { exact: true }).fill(demo.credential);
  await page.getByRole("button", { name: words.test, exact: true }).click();
  await assertSeen(page.getByText(words.connected));
  await assertUsable(page);
  await page.getByRole("button", { name: words.register, exact: true }).click();
  await assertSeen(page.getByRole("heading", { name, exact: true }));
  // Who is at its page sees what it holds.
  await assertSeen(page.locator("#collections [data-load]:not([aria-busy])"));
  await assertUsable(page);
}

async function readReport(page, words) {
  await page.getByRole("navigation").getByRole("link", { name: words.report, exact: true }).click();
  await assertSeen(page.getByRole("heading", { name: words.report, exact: true }));
  await assertUsable(page);
  const opened = page.waitForEvent("popup");
  await page.getByRole("link", { name: words.openReport, exact: true }).click();
  const report = await opened;
  await assertSeen(report.getByText(words.reportSays, { exact: true }));
  await assertSeen(report.getByText(words.everyRow));
  await assertUsable(report);
  await report.close();
}

async function loadAll(page, words) {
  await page.getByRole("button", { name: words.loadAll, exact: true }).click();
  await assertSeen(page.getByText(words.loaded, { exact: true }), WORK_MILLISECONDS);
  await page.getByText(words.one, { exact: true }).click();
  await assertSeen(page.getByRole("row", { name: /products/ }).getByText(words.isLoaded, { exact: true }));
  await assertUsable(page);
}

/** A row of the source is the nearest one to its own vector on the target. */
async function assertFound(db) {
  const fields = ["product_id", "title"];
  const query = { filter: "product_id >= 0", limit: 1, outputFields: [...fields, "embedding"] };
  const { data: [wanted] } = await milvus(demo.source, "query", { collectionName: "products", ...query });
  const search = { dbName: db, vector: wanted.embedding, limit: 1, outputFields: fields };
  const { data: hits } = await milvus(demo.target, "search", { collectionName: "products", ...search });
  assert.deepEqual(hits.map(({ product_id, title }) => [product_id, title]), [[wanted.product_id, wanted.title]]);
}

for (const [words, colorScheme, width] of [[IN_ENGLISH, "light", 1280], [IN_CHINESE, "dark", 375]]) {
  const look = { locale: words.locale, colorScheme, width };
  inBrowser(`from a new project to a search on the target: ${words.locale}, ${width}`, look, async ({ page, rest, t }) => {
    const { db, isWrittenBy } = targetDatabase(rest, t);
    await open(page, `/o/${await rest.organization()}/projects`);
    await assertUsable(page);
    await page.getByLabel(words.projectName).fill(unique("Shop"));
    await page.getByRole("button", { name: words.newProject, exact: true }).click();
    await assertSeen(page.getByRole("link", { name: words.register, exact: true }));
    await assertUsable(page);
    const source = unique("old");
    await register(page, words, source, demo.source);
    await to(page, words, words.clusters);
    await assertSeen(page.getByRole("link", { name: source, exact: true }));
    await assertUsable(page);
    await register(page, words, unique("new"), demo.target);

    await to(page, words, words.migrations);
    await assertUsable(page);
    await page.getByRole("link", { name: words.newMigration, exact: true }).click();
    await page.getByRole("radio", { name: new RegExp(`^${source} `) }).check();
    await assertUsable(page);
    await page.getByRole("button", { name: words.chooseCollections, exact: true }).click();
    await toReview(page, words, db, assertUsable);
    isWrittenBy(await start(page, words, SLOW));

    await assertRuns(page, words);
    await assertUsable(page);
      await liftLimit(page, words);
    await assertSuccessful(page, words);
    await assertUsable(page);
    const job = page.url();
    await readReport(page, words);
    await page.goto(job);
    await loadAll(page, words);
    await assertFound(db);
  });
}
