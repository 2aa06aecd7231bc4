//! What entries of the audit log tell, in words.

/// What an action of the log is; none for one without words. Those of the console and those of REST do the same.
pub(super) fn deed(action: &str) -> Option<(&'static str, &'static str)> {
    let found = DEEDS.iter().find(|(actions, _)| actions.contains(&action));
    found.map(|(_, words)| *words)
}

type Deed = (&'static [&'static str], (&'static str, &'static str));

const DEEDS: &[Deed] = &[
    (&["POST /v2/session", "POST /sign-in"], ("Sign in", "登录")),
    (&["POST /v2/session/link", "POST /setup"], ("Sign in with a link", "使用链接登录")),
    (&["GET /v2/session/oidc/callback"], ("Sign in with the identity provider", "通过身份提供方登录")),
    (&["DELETE /v2/session", "POST /sign-out"], ("Sign out", "退出登录")),
    (&["PUT /v2/session/password"], ("Set a password", "设置密码")),
    (&["PATCH /v2/session", "POST /setup/account"], ("Change the account", "修改账户")),
    (&["PATCH /v2/organization", "POST /o/{org}/settings"], ("Change the organization", "修改组织设置")),
    (&["POST /v2/users", "POST /o/{org}/members/new"], ("Invite a member", "邀请成员")),
    (
        &["PATCH /v2/users/{userId}", "POST /o/{org}/members/{user}/role"],
        ("Change a role in the organization", "修改组织角色"),
    ),
    (
        &["POST /v2/users/{userId}/link", "POST /o/{org}/members/{user}/link"],
        ("Create a sign-in link", "生成登录链接"),
    ),
    (&["DELETE /v2/users/{userId}", "POST /o/{org}/members/{user}/remove"], ("Remove a member", "移除成员")),
    (
        &[
            "PUT /v2/projects/{projectId}/users/{userId}",
            "POST /p/{project}/members",
            "POST /p/{project}/members/{user}/role",
        ],
        ("Give a role in a project", "授予项目角色"),
    ),
    (
        &["DELETE /v2/projects/{projectId}/users/{userId}", "POST /p/{project}/members/{user}/remove"],
        ("Remove a role in a project", "移除项目角色"),
    ),
    (&["POST /v2/projects", "POST /o/{org}/projects"], ("Create a project", "创建项目")),
    (&["PATCH /v2/projects/{projectId}"], ("Rename a project", "重命名项目")),
    (&["DELETE /v2/projects/{projectId}"], ("Remove a project", "移除项目")),
    (&["POST /v2/apiKeys", "POST /o/{org}/keys/new"], ("Create an API key", "创建 API 密钥")),
    (
        &["DELETE /v2/apiKeys/{keyId}", "POST /o/{org}/keys/{key}/revoke"],
        ("Revoke an API key", "撤销 API 密钥"),
    ),
    (&["POST /v2/webhooks", "POST /o/{org}/webhooks/new"], ("Create a webhook", "创建 Webhook")),
    (
        &["DELETE /v2/webhooks/{webhookId}", "POST /o/{org}/webhooks/{webhook}/remove"],
        ("Remove a webhook", "移除 Webhook"),
    ),
    (
        &["POST /v2/webhooks/{webhookId}/test", "POST /o/{org}/webhooks/{webhook}/test"],
        ("Test a webhook", "测试 Webhook"),
    ),
    (&["POST /v2/clusters", "POST /p/{project}/clusters/new"], ("Register a cluster", "注册集群")),
    (&["POST /v2/clusters/import", "POST /p/{project}/clusters/cloud"], ("Import clusters", "导入集群")),
    (
        &["PATCH /v2/clusters/{clusterId}", "POST /p/{project}/clusters/{cluster}"],
        ("Change a cluster", "修改集群"),
    ),
    (
        &["DELETE /v2/clusters/{clusterId}", "POST /p/{project}/clusters/{cluster}/remove"],
        ("Remove a cluster", "移除集群"),
    ),
    (&["POST /p/{project}/clusters/test"], ("Test the connection of a cluster", "测试集群连接")),
    (
        &["POST /p/{project}/clusters/cloud/found"],
        ("List clusters of Zilliz Cloud", "列出 Zilliz Cloud 集群"),
    ),
    (
        &[
            "POST /p/{project}/migrations/new/{draft}/cluster",
            "POST /p/{project}/migrations/new/{draft}/collections",
            "POST /p/{project}/migrations/new/{draft}/options",
            "POST /p/{project}/migrations/new/{draft}/target",
            "POST /p/{project}/migrations/new/{draft}/way",
        ],
        ("Choose in a draft", "编辑迁移草稿"),
    ),
    (
        &["POST /p/{project}/migrations/new/{draft}/elsewhere"],
        ("Connect to a cluster for a draft", "为迁移草稿连接集群"),
    ),
    (&["POST /p/{project}/migrations/new/{draft}/discard"], ("Discard a draft", "放弃迁移草稿")),
    (&["POST /v2/capacity"], ("Estimate capacity", "估算容量")),
    (
        &["POST /v2/migrations/precheck", "POST /p/{project}/migrations/new/{draft}/check"],
        ("Run a pre-check", "运行预检"),
    ),
    (
        &["POST /v2/migrations/toExisting", "POST /p/{project}/migrations/new/{draft}/start"],
        ("Create a migration", "创建迁移任务"),
    ),
    (
        &["POST /v2/jobs/{jobId}/cancel", "POST /p/{project}/migrations/{job}/cancel"],
        ("Cancel a migration", "取消迁移任务"),
    ),
    (
        &["POST /v2/jobs/{jobId}/resume", "POST /p/{project}/migrations/{job}/resume"],
        ("Resume a migration", "继续迁移任务"),
    ),
    (
        &["POST /v2/jobs/{jobId}/catch-up", "POST /p/{project}/migrations/{job}/catch-up"],
        ("Catch up with the source", "更新到源集群的最新数据"),
    ),
    (
        &["POST /v2/jobs/{jobId}/cutover", "POST /p/{project}/migrations/{job}/cut-over"],
        ("Cut over to the target", "切换到目标集群"),
    ),
    (
        &["PUT /v2/jobs/{jobId}/rate", "POST /p/{project}/migrations/{job}/rate"],
        ("Change the rate limit", "修改限速"),
    ),
    (
        &["POST /v2/jobs/{jobId}/load", "POST /p/{project}/migrations/{job}/load"],
        ("Load collections", "加载 Collection"),
    ),
    (&["POST /v2/jobs/{jobId}/verify", "POST /p/{project}/migrations/{job}/verify"], ("Verify", "校验")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_belongs_to_an_address() {
        for action in DEEDS.iter().flat_map(|(actions, _)| actions.iter()) {
            let (method, path) = action.split_once(' ').unwrap();
            let of_console = method == "POST" && !path.starts_with("/v2/");
            assert!(of_console || crate::api::PATHS.contains(&path), "{action}");
            // The pages of the organization are here; those of projects are other parts'.
            let is_own = path.starts_with("/o/") || path.ends_with("/members");
            assert!(!is_own || crate::console::pattern(path).is_some(), "{action}");
        }
        assert!(deed("POST /nowhere").is_none());
        assert_eq!(deed("POST /v2/users").unwrap().0, "Invite a member");
    }
}
