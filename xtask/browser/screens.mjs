// Every screen of which pictures are taken. To add one: a name, and the path; `prepare` makes what it shows, once, and what it
// returns is given to `path`. `signedIn: false` for what nobody needs to sign in for, `as` for somebody else than the owner.
// `ready` waits for what comes later, `act` opens what only a click shows.
import { Rest, demo, removeProducts } from "./harness/service.mjs";

/** Slow enough that it still runs when the last picture is taken. */
const SLOW = "1rows/s";
const SOON_MILLISECONDS = 8_000;
const CHECK_MILLISECONDS_MAX = 120_000;
/** Collections of the drafts, with the rows that the page shows. */
const CHOSEN = { products: 1_200, support_articles: 600 };

/** What several screens show is made once, by the first of them. */
function once(make) {
  let made;
  return (given) => (made ??= make(given));
}

const people = once(async ({ rest }) => {
  const { projectId } = await place({ rest });
  const somebody = async (name, projectRole) => {
    const { userId, linkToken } = await rest.invite(`${name.split(" ")[0].toLowerCase()}@example.com`, name);
    if (projectRole) await rest.put(`/v2/projects/${projectId}/users/${userId}`, { projectRole });
    return Rest.signInByLink(linkToken);
  };
  await somebody("Ada Lovelace", "admin");
  await somebody("李明", "readWrite");
  return { reader: await somebody("Rita Levi-Montalcini", "readOnly"), stranger: await somebody("Grace Hopper") };
});

/** A project with a source, and targets of each plan. */
const place = once(async ({ rest }) => {
  const projectId = await rest.newProject("Product search");
  const source = await rest.register(projectId, "milvus-search", demo.source);
  const target = await rest.register(projectId, "zilliz-production", demo.target, "Dedicated");
  await rest.register(projectId, "zilliz-staging", demo.target, "Serverless");
  await rest.register(projectId, "zilliz-playground", demo.target, "Free");
  return { projectId, source, target };
});

/** Jobs of every kind: successful, failed, canceled, scheduled and running. */
const jobs = once(async ({ rest }) => {
  const { projectId, source, target } = await place({ rest });
  const late = new Date(Date.now() + SOON_MILLISECONDS).toISOString();
  // What the second one needs is taken by the first when it starts.
  const failed = await scheduled(rest, source, target, "production", late);
  const successful = await rest.migrate(source, target, ["products", "support_articles"], "production", { verify: "full" });
  await rest.ended(successful);
  await rest.ended(failed, "FAILED");
  const canceled = await rest.migrate(source, target, ["products"], "rehearsal", { maxRate: SLOW });
  await rest.until(`/v2/jobs/${canceled}`, ({ progress }) => Number(progress) > 0);
  await rest.post(`/v2/jobs/${canceled}/cancel`);
  await rest.ended(canceled, "CANCELED");
  const tonight = await scheduled(rest, source, target, "tonight", new Date(Date.now() + 10 * 3_600_000).toISOString());
  const running = await rest.migrate(source, target, ["products", "support_articles", "customer_events"], "staging", { maxRate: SLOW });
  await rest.until(`/v2/jobs/${running}`, ({ progress }) => Number(progress) > 0);
  return { projectId, source, target, successful, failed, canceled, tonight, running };
});

/** Jobs that copy while the application writes: one that is ready behind a catch-up, and one that was cut over. */
const warm = once(async ({ rest }) => {
  const { projectId, source, target } = await place({ rest });
  const live = await rest.register(projectId, "milvus-live", demo.target);
  await rest.ended(await rest.migrate(source, live, ["products"], "live"));
  const copied = async (database) => {
    const job = await rest.migrate(live, target, ["products"], database, { warm: true }, "live");
    await rest.ended(job, "READY");
    return job;
  };
  const round = async (job, way, status) => {
    await rest.post(`/v2/jobs/${job}/${way}`);
    await rest.until(`/v2/jobs/${job}/details`, ({ job: seen, nextRound }) => !nextRound && seen.status === status);
  };
  const [ready, switched] = [await copied("warm"), await copied("switched")];
  await removeProducts("live", [1, 2, 3, 4, 5]);
  for (const job of [ready, switched]) await round(job, "catch-up", "READY");
  await removeProducts("live", [6, 7]);
  await round(ready, "catch-up", "READY");
  await round(switched, "cutover", "SUCCESSFUL");
  return { projectId, ready, switched };
});

async function scheduled(rest, source, target, destDbName, startTime) {
  const { jobId } = await rest.post("/v2/migrations/toExisting", {
    source: { clusterId: source },
    destination: { clusterId: target },
    dbCollections: [{ dbName: "default", destDbName, collections: [{ collectionName: "support_articles" }] }],
    startTime,
  });
  return jobId;
}

/** A draft of the wizard behind the choice of a target; by its forms, for drafts are of the console alone. */
async function draft(rest, database, collections) {
  const { projectId, source, target } = await place({ rest });
  const begun = await rest.visit(`/p/${projectId}/migrations/new?source=${source}`);
  const path = new URL(begun.headers.get("location"), rest.url).pathname;
  const chosen = Object.entries(collections).map(([name, rows]) => ["collection", `${rows} default.${name}`]);
  await rest.visit(`${path}/collections`, chosen);
  await rest.visit(`${path}/target`, [["cluster", target], ["databases", "rename"], ["database default", database]]);
  await checked(rest, path);
  return { path };
}

/** The review is there when the check is over: until then its page asks for it again and again. */
async function checked(rest, path) {
  const end = Date.now() + CHECK_MILLISECONDS_MAX;
  while ((await (await rest.visit(`${path}?step=check`)).text()).includes("data-live")) {
    if (Date.now() > end) throw new Error(`${path} is still checked`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

const warmDraft = once(async ({ rest }) => {
  const made = await draft(rest, "later", CHOSEN);
  await rest.visit(`${made.path}/way`, [["way", "warm"], ["load_target", "1"]]);
  await checked(rest, made.path);
  return made;
});
const goodDraft = once(({ rest }) => draft(rest, "next", CHOSEN));
const badDraft = once(async ({ rest }) => {
  await jobs({ rest });
  return draft(rest, "production", CHOSEN);
});

const webhook = once(async ({ rest }) => {
  // Nobody answers there.
  const { webhookId } = await rest.post("/v2/webhooks", { url: "http://127.0.0.1:9/hooks/migrations" });
  await rest.post(`/v2/webhooks/${webhookId}/test`);
  return { webhookId };
});

const key = once(async ({ rest }) => {
  const { projectId } = await place({ rest });
  await rest.post("/v2/apiKeys", { name: "nightly checks", kind: "customized", projectRoles: { [projectId]: "readOnly" } });
  await rest.post("/v2/apiKeys", { name: "deploy", kind: "personal", validDays: 90 });
  return {};
});

const warmJob = (which, page = "") => ({ prepare: warm, path: (given) => `/p/${given.projectId}/migrations/${given[which]}${page}` });
const shown = (selector) => (page) => page.locator(selector).first().waitFor();
const job = (which, show = "") => ({
  prepare: jobs,
  path: (given) => `/p/${given.projectId}/migrations/${given[which]}${show && `?show=${show}`}`,
});

/** What every screen is given: `rest` (the owner), `org`, `project` (the first one, with both clusters). */
export const screens = [
  { name: "sign-in", path: () => "/sign-in", signedIn: false },
  { name: "setup", path: () => "/setup", signedIn: false },
  { name: "account", path: () => "/setup/account" },
  { name: "projects", path: ({ org }) => `/o/${org}/projects` },
  { name: "projects-none", prepare: people, as: ({ stranger }) => stranger, path: ({ org }) => `/o/${org}/projects` },
  { name: "clusters", path: ({ project }) => `/p/${project}/clusters` },
  { name: "clusters-plans", prepare: place, path: ({ projectId }) => `/p/${projectId}/clusters` },
  {
    name: "clusters-empty",
    prepare: async ({ rest }) => ({ empty: await rest.newProject("Recommendations") }),
    path: ({ empty }) => `/p/${empty}/clusters`,
  },
  { name: "cluster-new", path: ({ project }) => `/p/${project}/clusters/new` },
  { name: "cluster-cloud", path: ({ project }) => `/p/${project}/clusters/cloud` },
  {
    name: "cluster",
    prepare: async ({ rest, project }) => ({ source: await rest.cluster("demo-source", project) }),
    path: ({ project, source }) => `/p/${project}/clusters/${source}`,
    ready: (page) => page.getByRole("link", { name: "products", exact: true }).waitFor(),
  },
  {
    name: "collection",
    prepare: place,
    path: ({ projectId, source }) => `/p/${projectId}/clusters/${source}/collection?db=default&name=products`,
    ready: shown("main table"),
  },
  {
    name: "capacity",
    prepare: place,
    path: ({ projectId, source }) => `/p/${projectId}/clusters/${source}/capacity`,
    ready: shown("main table"),
  },
  {
    name: "migrations-empty",
    prepare: async ({ rest }) => ({ empty: await rest.newProject("Image search") }),
    path: ({ empty }) => `/p/${empty}/migrations`,
  },
  { name: "migrations", prepare: jobs, path: ({ projectId }) => `/p/${projectId}/migrations` },
  { name: "wizard-source", path: ({ project }) => `/p/${project}/migrations/new` },
  { name: "wizard-elsewhere", path: ({ project }) => `/p/${project}/migrations/new`, act: toElsewhere },
  {
    name: "wizard-collections",
    prepare: async ({ rest, project }) => ({ from: await rest.cluster("demo-source", project) }),
    path: ({ project, from }) => `/p/${project}/migrations/new?source=${from}`,
    ready: shown("input[name=collection]"),
  },
  { name: "wizard-target", prepare: goodDraft, path: ({ path }) => `${path}?step=target` },
  { name: "wizard-check", prepare: goodDraft, path: ({ path }) => `${path}?step=check`, ready: shown("main a.main") },
  { name: "wizard-check-failed", prepare: badDraft, path: ({ path }) => `${path}?step=check`, ready: shown(".check.bad") },
  { name: "wizard-review", prepare: goodDraft, path: ({ path }) => `${path}?step=review`, ready: shown(".aloud") },
  { name: "wizard-check-warm", prepare: warmDraft, path: ({ path }) => `${path}?step=check`, ready: shown("main a.main") },
  { name: "wizard-review-warm", prepare: warmDraft, path: ({ path }) => `${path}?step=review`, ready: shown(".aloud") },
  {
    name: "wizard-not-allowed",
    prepare: async (given) => ({ ...(await people(given)), ...(await place(given)) }),
    as: ({ reader }) => reader,
    path: ({ projectId }) => `/p/${projectId}/migrations/new`,
    status: 403,
  },
  { name: "job-running", ...job("running") },
  { name: "job-running-cancel", ...job("running"), act: (page) => page.locator("#cancel > summary").click() },
  { name: "job-scheduled", ...job("tonight") },
  { name: "job-successful", ...job("successful") },
  { name: "job-failed", ...job("failed") },
  { name: "job-canceled", ...job("canceled") },
  { name: "job-canceled-clean", ...job("canceled"), act: (page) => page.locator("#clean > summary").click() },
  { name: "job-collections", ...job("successful", "collections") },
  { name: "job-events", ...job("successful", "events") },
  { name: "job-pre-check", ...job("successful", "pre-check") },
  { name: "job-verification", ...job("successful", "verification") },
  { name: "job-report", ...job("successful", "report") },
  { name: "job-warm-ready", ...warmJob("ready") },
  { name: "job-warm-catch-up", ...warmJob("ready"), act: (page) => page.locator("#catch-up > summary").click() },
  { name: "job-warm-cut-over", ...warmJob("ready", "/cut-over"), act: (page) => page.locator("#allowed > summary").click() },
  { name: "job-warm-cut-over-done", ...warmJob("switched", "/cut-over") },
  { name: "job-warm-switched", ...warmJob("switched") },
  { name: "project-members", prepare: async (given) => ({ ...(await people(given)), ...(await place(given)) }), path: ({ projectId }) => `/p/${projectId}/members` },
  { name: "members", prepare: people, path: ({ org }) => `/o/${org}/members` },
  { name: "member-new", path: ({ org }) => `/o/${org}/members/new` },
  { name: "keys", prepare: key, path: ({ org }) => `/o/${org}/keys` },
  { name: "key-new", prepare: key, path: ({ org }) => `/o/${org}/keys/new` },
  { name: "key-once", path: ({ org }) => `/o/${org}/keys/new`, act: makeKey },
  { name: "webhooks", prepare: webhook, path: ({ org }) => `/o/${org}/webhooks` },
  { name: "webhook-new", path: ({ org }) => `/o/${org}/webhooks/new` },
  { name: "webhook-deliveries", prepare: webhook, path: ({ org, webhookId }) => `/o/${org}/webhooks/${webhookId}` },
  { name: "audit", prepare: key, path: ({ org }) => `/o/${org}/audit` },
  { name: "settings", path: ({ org }) => `/o/${org}/settings` },
  { name: "about", path: () => "/about" },
  { name: "errors", path: () => "/errors" },
  { name: "errors-none", path: () => "/errors?find=VF-9999" },
  { name: "error", path: () => "/errors/VF-0203" },
  { name: "not-found", path: () => "/nowhere", status: 404 },
];

async function toElsewhere(page) {
  await page.locator("main .seg a[href*='from=elsewhere']").click();
  await page.locator("#endpoint").waitFor();
}

async function makeKey(page) {
  await page.locator("#name").fill("backups");
  await page.locator("main button.main").click();
  await page.locator(".secret").first().waitFor();
}
