// What tests of whole migrations share: the words of the wizard in both languages, its steps as people take them, and what
// the target holds afterwards, asked of Milvus itself.
import assert from "node:assert/strict";

import { assertSeen, unique } from "./test.mjs";
import { demo, milvus } from "./service.mjs";

export { milvus };

export const ENGLISH = {
  locale: "en-US",
  chooseCollections: "Choose its collections",
  chooseTarget: "Choose the target",
  useOtherNames: "Use other names",
  becomes: /becomes$/,
  check: "Check this migration",
  fine: "Ready to migrate.",
  review: "Review",
  toBeDone: "What will be done",
  atMost: /^Maximum write rate/,
  stopped: /^Writes to the source are stopped/,
  start: "Start the migration",
  inProgress: "In progress",
  progress: "Progress",
  limit: "Limit rate…",
  noLimit: "Remove limit",
  result: "Result",
  successful: "Successful",
  ready: "Ready",
};

export const CHINESE = {
  locale: "zh-CN",
  chooseCollections: "选择 Collection",
  chooseTarget: "选择目标集群",
  useOtherNames: "使用其他名称",
  becomes: /改为$/,
  check: "开始预检",
  fine: "可以迁移。",
  review: "下一步：确认",
  toBeDone: "将要执行的操作",
  atMost: /^最大写入速率/,
  stopped: /^已停止写入源集群/,
  start: "开始迁移",
  inProgress: "进行中",
  progress: "进度",
  limit: "限速…",
  noLimit: "取消限速",
  result: "结果",
  successful: "成功",
  ready: "就绪",
};

/** So slow that no test sees the end of `products` before it lifts the limit, however slow the machine is. */
export const SLOW = "2rows/s";

/** A check, a job or a load may take as long where the machine is slow. */
export const WORK_MILLISECONDS = 120_000;

/** A project of its own, in which the two servers of the demonstration are registered: its ID, the source's ID and name. */
export async function place(rest, name) {
  const project = await rest.newProject(unique(name));
  const sourceName = unique("old");
  const source = await rest.register(project, sourceName, demo.source);
  await rest.register(project, unique("new"), demo.target);
  return { project, source, sourceName };
}

/** A database of the target that no other test writes to, and which is gone after the test, with what is in it. */
export function targetDatabase(rest, t) {
  const db = unique("shop").replaceAll(/\W/g, "_");
  const jobs = [];
  t.after(async () => {
    for (const job of jobs) await rest.post(`/v2/jobs/${job}/cancel`, { clean: true, confirm: job });
    await until(async () => (await collectionsOf(db)).length === 0, `${db} is empty`);
  });
  return { db, isWrittenBy: (job) => jobs.push(job) };
}

/** From the page of the collections to the review. `seen` is called for every step. */
export async function toReview(page, words, db, seen = async () => {}) {
  await page.getByRole("checkbox", { name: /^products/ }).check();
  await seen(page);
  await page.getByRole("button", { name: words.chooseTarget }).click();
  await page.getByRole("radio", { name: /^new / }).check();
  await page.getByLabel(words.useOtherNames).check();
  await page.getByLabel(words.becomes).fill(db);
  await seen(page);
  await page.getByRole("button", { name: words.check }).click();
  await assertSeen(page.getByText(words.fine), WORK_MILLISECONDS);
  await seen(page);
  await page.getByRole("link", { name: words.review, exact: true }).click();
  await assertSeen(page.getByRole("heading", { name: words.toBeDone }));
  await seen(page);
}

/** Starts a migration from its review: the ID of its job. */
export async function start(page, words, rate) {
  await page.getByLabel(words.atMost).fill(rate);
  await page.getByLabel(words.stopped).check();
  await page.getByRole("button", { name: words.start }).click();
  return jobOf(page);
}

/** The ID of the job whose page comes next. */
export async function jobOf(page) {
  await page.waitForURL((address) => /\/migrations\/[0-9a-f-]{36}$/.test(address.pathname));
  return new URL(page.url()).pathname.split("/").at(-1);
}

/** The page of a job says by itself that it runs, and how far it is; what can be done comes with it. */
export async function assertRuns(page, words) {
  await assertSeen(page.getByRole("main").getByText(words.inProgress, { exact: true }), WORK_MILLISECONDS);
  await assertSeen(page.getByRole("region", { name: words.progress, exact: true }), WORK_MILLISECONDS);
  await assertSeen(page.getByText(words.limit, { exact: true }), WORK_MILLISECONDS);
}

/** The page of a job says by itself that it succeeded. */
export async function assertSuccessful(page, words) {
  const result = page.getByRole("region", { name: words.result, exact: true });
  await assertSeen(result.getByRole("heading", { name: words.successful, exact: true }), WORK_MILLISECONDS);
  await assertSeen(page.getByRole("main").locator("p").getByText(words.successful, { exact: true }));
}

/** Lifts the limit of a job from its page. */
export async function liftLimit(page, words) {
  await page.getByText(words.limit, { exact: true }).click();
  await page.getByRole("button", { name: words.noLimit, exact: true }).click();
}

/** The collections in a database of the target; none where there is no such database. */
export async function collectionsOf(db) {
  const told = await milvus(demo.target, `collections?dbName=${db}`);
  if (/database not found/.test(told.message ?? "")) return [];
  assert.equal(told.code, 200, JSON.stringify(told));
  return told.data;
}

/** Asks again until it is so. */
export async function until(isSo, told, milliseconds = WORK_MILLISECONDS) {
  const end = Date.now() + milliseconds;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not in time: ${told}`);
    await new Promise((done) => setTimeout(done, 200));
  }
}
