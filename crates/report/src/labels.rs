//! Names of states, stages, checks, waits and results, and sentences about jobs, in English and Chinese.

mod amounts;
mod checks;
mod durations;
mod headings;
mod plan;
mod rbac;
mod states;
mod verification;
mod waits;

pub use amounts::*;
pub use checks::*;
pub use durations::*;
pub use headings::*;
pub use plan::*;
pub use rbac::*;
pub use states::*;
pub use verification::*;
pub use waits::*;

vecferry_words::sentences! {
    pub,
    /// Between a label and its text.
    colon ": " "：";
    /// Between the members of a list, and between facts.
    comma ", " "，";
}

#[cfg(test)]
mod tests {
    use vecferry_migrate::event::Bottleneck;
    use vecferry_words::Lang;

    use super::*;

    #[test]
    fn numbers_and_nouns_agree() {
        assert_eq!(some_rows(Lang::En, 1), "1 row");
        assert_eq!(some_rows(Lang::En, 1000), "1,000 rows");
        assert_eq!(some_collections(Lang::En, 1), "1 collection");
        assert_eq!(rows_of(Lang::Zh, 10, 2000), "10 / 约 2,000 行（0 %）");
        assert_eq!(rows_of(Lang::En, 10, 0), "10 rows");
    }

    #[test]
    fn the_pace_is_told_in_both_languages() {
        assert_eq!(bound_by(Lang::En, Bottleneck::TargetLimit), "bound by: target rate limit");
        assert_eq!(bound_by(Lang::Zh, Bottleneck::MaxRate), "受限于：--max-rate");
        assert_eq!(
            waited(Lang::En, &shares(Lang::En, &[(Bottleneck::Target, 70), (Bottleneck::Source, 30)]), 1200),
            "The copy waited for: target ingest 70%, source latency 30%; the job record was written 1,200 times"
        );
        assert_eq!(
            rate_set(Lang::En, "j", Some("20MB/s"), true),
            "Job j: rate limited to 20 MB/s, from now on"
        );
        assert_eq!(max_rate(Lang::En, Some("1rows/s")), "rate limited to 1 row/s");
        assert_eq!(max_rate(Lang::En, Some("5000rows/s")), "rate limited to 5,000 rows/s");
        assert_eq!(max_rate(Lang::Zh, Some("5000rows/s")), "限速：5,000 行/秒");
        assert_eq!(
            max_rate(Lang::En, Some("what a newer version wrote")),
            "rate limited to what a newer version wrote"
        );
        assert_eq!(rate_set(Lang::Zh, "j", None, false), "任务 j：不限速，继续任务时生效");
    }

    #[test]
    fn a_row_is_named_in_both_languages() {
        let fields = ["a".to_owned(), "b".to_owned()];
        assert_eq!(row(Lang::En, Some("p"), "7", &fields), "primary key 7 in partition `p` (a, b)");
        assert_eq!(row(Lang::Zh, Some("p"), "7", &fields), "主键 7，Partition `p`（a，b）");
        assert_eq!(row(Lang::En, None, "7", &[]), "primary key 7");
    }

    #[test]
    fn the_seed_is_only_shown_where_there_is_a_sample() {
        assert_eq!(
            job(Lang::En, "j", "SUCCESSFUL", "sample", 7),
            "Job j: SUCCESSFUL (verified: sample, seed 7)"
        );
        assert_eq!(job(Lang::En, "j", "SUCCESSFUL", "count", 7), "Job j: SUCCESSFUL (verified: count)");
        assert_eq!(job(Lang::Zh, "j", "FAILED（失败）", "none", 7), "任务 j：FAILED（失败），校验：none");
    }
}
