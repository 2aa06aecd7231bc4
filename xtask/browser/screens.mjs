// Every screen of which pictures are taken. To add one: a name, and the path; `prepare` makes what it shows, once, and what it
// returns is given to `path`. `signedIn: false` for what nobody needs to sign in for. `ready` waits for what comes later,
// `act` opens what only a click shows.

/** What every screen is given: `rest` (the owner), `org`, `project` (the first one, with both clusters). */
export const screens = [
  { name: "sign-in", path: () => "/sign-in", signedIn: false },
  { name: "setup", path: () => "/setup", signedIn: false },
  { name: "account", path: () => "/setup/account" },
  { name: "projects", path: ({ org }) => `/o/${org}/projects` },
  { name: "clusters", path: ({ project }) => `/p/${project}/clusters` },
  {
    name: "clusters-empty",
    prepare: async ({ rest }) => ({ empty: await rest.newProject("Recommendations") }),
    path: ({ empty }) => `/p/${empty}/clusters`,
  },
  { name: "cluster-new", path: ({ project }) => `/p/${project}/clusters/new` },
  {
    name: "cluster",
    prepare: async ({ rest, project }) => ({ source: await rest.cluster("demo-source", project) }),
    path: ({ project, source }) => `/p/${project}/clusters/${source}`,
    ready: (page) => page.getByRole("link", { name: "products", exact: true }).waitFor(),
  },
  { name: "migrations-empty", path: ({ project }) => `/p/${project}/migrations` },
  { name: "wizard-source", path: ({ project }) => `/p/${project}/migrations/new` },
  {
    name: "wizard-collections",
    prepare: async ({ rest, project }) => ({ from: await rest.cluster("demo-source", project) }),
    path: ({ project, from }) => `/p/${project}/migrations/new?source=${from}`,
    ready: (page) => page.locator("input[name=collection]").first().waitFor(),
  },
  { name: "not-found", path: () => "/nowhere", status: 404 },
];
