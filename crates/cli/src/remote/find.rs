//! Clusters by ID or name, and jobs by the beginning of their ID.

use vecferry_migrate::{Code, Problem};
use vecferry_words::Told;

use super::answers::{Cluster, Clusters, Jobs};
use super::client::{Client, Failure};

/// Clusters of a page.
const PAGE_CLUSTERS: usize = 100;
/// Pages of clusters at most.
const PAGES_MAX: usize = 1_000;
/// Longest ID of a job.
const JOB_ID_CHARACTERS_MAX: usize = 64;

/// Both clusters of a migration.
pub(super) async fn sides(client: &Client, source: &str, target: &str) -> Result<[Cluster; 2], Vec<Problem>> {
    let clusters = all_clusters(client).await.map_err(Failure::problems)?;
    let sides = [("source", source), ("target", target)].map(|(side, named)| cluster(&clusters, side, named));
    match sides {
        [Ok(source), Ok(target)] => Ok([source, target]),
        [source, target] => Err([source.err(), target.err()].into_iter().flatten().collect()),
    }
}

async fn all_clusters(client: &Client) -> Result<Vec<Cluster>, Failure> {
    let mut all = Vec::new();
    for page in 1..=PAGES_MAX {
        let path = format!("/v2/clusters?pageSize={PAGE_CLUSTERS}&currentPage={page}");
        let Clusters { count, clusters } = client.get(&path).await?;
        let is_last = clusters.is_empty();
        all.extend(clusters);
        if is_last || all.len() >= count {
            break;
        }
    }
    Ok(all)
}

/// The cluster of this ID, or the only one of this name.
fn cluster(clusters: &[Cluster], side: &str, named: &str) -> Result<Cluster, Problem> {
    if let Some(cluster) = clusters.iter().find(|cluster| cluster.cluster_id == named) {
        return Ok(cluster.clone());
    }
    let found: Vec<_> = clusters.iter().filter(|cluster| cluster.cluster_name == named).collect();
    match found[..] {
        [cluster] => Ok(cluster.clone()),
        [] => Err(absent("cluster", "集群", named)),
        _ => {
            let ids: Vec<_> = found.iter().map(|cluster| &cluster.cluster_id).collect();
            let ids = Told::names(&ids);
            let detail = ids.within(
                |ids| {
                    format!("--{side}: several clusters are called `{named}`; give one of their IDs: {ids}")
                },
                |ids| format!("--{side}：有多个集群名为 `{named}`；请指定其中一个的 ID：{ids}"),
            );
            Err(Problem::new(Code::Arguments).told("detail", detail))
        }
    }
}

fn absent(kind: &str, kind_zh: &str, id: &str) -> Problem {
    Problem::new(Code::NoSuchObject).with("kind", kind).with("kind_zh", kind_zh).with("id", id)
}

/// The ID of the job whose ID begins like this.
pub(super) async fn job(client: &Client, beginning: &str) -> Result<String, Failure> {
    let beginning = beginning.to_ascii_lowercase();
    let is_id = |character: char| character.is_ascii_hexdigit() || character == '-';
    let refused = |problem| Failure::Refused(vec![problem]);
    if beginning.is_empty() || beginning.len() > JOB_ID_CHARACTERS_MAX || !beginning.chars().all(is_id) {
        return Err(refused(absent("job", "任务", &beginning)));
    }
    // A page begins below its cursor, and `g` stands behind all digits: the first jobs are those that begin like this.
    let page: Jobs = client.get(&format!("/v2/jobs?pageSize=2&cursor={beginning}g")).await?;
    let mut found = page.jobs.into_iter().map(|job| job.job_id).filter(|id| id.starts_with(&beginning));
    match (found.next(), found.next()) {
        (Some(job_id), None) => Ok(job_id),
        (None, _) => Err(refused(absent("job", "任务", &beginning))),
        (Some(_), Some(_)) => {
            let detail = Told::both(
                format!("several job IDs begin with `{beginning}`"),
                format!("多个任务 ID 以 `{beginning}` 开头"),
            );
            Err(refused(Problem::new(Code::Arguments).told("detail", detail)))
        }
    }
}

#[cfg(test)]
mod tests {
    use vecferry_migrate::Lang;

    use super::*;

    #[test]
    fn an_id_comes_before_a_name_and_a_name_is_that_of_one() {
        let cluster_of = |id: &str, name: &str| Cluster {
            cluster_id: id.into(),
            cluster_name: name.into(),
            connect_address: String::new(),
            version: String::new(),
        };
        let clusters = [
            cluster_of("vf-1", "a"),
            cluster_of("vf-2", "vf-1"),
            cluster_of("vf-3", "b"),
            cluster_of("vf-4", "b"),
        ];
        let id = |named| cluster(&clusters, "source", named).map(|cluster| cluster.cluster_id);
        assert_eq!(id("vf-1").unwrap(), "vf-1");
        assert_eq!(id("a").unwrap(), "vf-1");
        let several = id("b").unwrap_err();
        assert_eq!(several.code, Code::Arguments);
        assert!(several.what(Lang::En).ends_with("give one of their IDs: `vf-3`, `vf-4`"), "{several}");
        assert!(several.what(Lang::Zh).ends_with("请指定其中一个的 ID：`vf-3`、`vf-4`"), "{several}");
        assert_eq!(id("A").unwrap_err().code, Code::NoSuchObject);
    }
}
