//! Anything at any time: faults of the servers and the network, other people's writes on both sides, kills. Whenever a
//! job says that it was successful, a comparison of the whole of both sides agrees, or the report told of the write that
//! makes the difference. What is not the job's is never touched, and the source is only read.
//!
//! Schedules come from a seed. One that fails is shrunk and printed in the form in which it can be written down in
//! [`regressions`]. `VECFERRY_SCHEDULES` says how many, `VECFERRY_SCHEDULES_SEED` which ones.

#![allow(clippy::print_stdout, reason = "what schedules came to is shown with the test's output")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tokio::runtime::Builder;

mod judge;
mod regressions;
mod scene;
mod schedule;

use scene::{Scene, Tally};
use schedule::{Schedule, any_schedule};

/// Schedules of a run.
const SCHEDULES: u64 = 64;
const SEED: u64 = 11;
/// Schedules at once: most of them wait for something.
const AT_ONCE: usize = 12;
/// Time for making the first failure smaller.
const SHRINK_MAX: Duration = Duration::from_secs(90);

/// On a thread of its own, so that its panic is an error too.
fn carry_out(schedule: &Schedule) -> Result<Tally, String> {
    let scene = Scene::new(schedule);
    let run = || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(scene.run())
    };
    std::thread::scope(|scope| {
        scope.spawn(run).join().unwrap_or_else(|_| Err("it panicked, see above".to_owned()))
    })
}

/// A schedule that once was a false success, or touched what was not the job's.
#[track_caller]
fn assert_holds(schedule: &Schedule) -> Tally {
    match carry_out(schedule) {
        Ok(tally) => tally,
        Err(error) => panic!("{schedule:?}: {error}"),
    }
}

fn number_in_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn a_success_is_one_whatever_happens() {
    let count = number_in_environment("VECFERRY_SCHEDULES", SCHEDULES);
    let seed = number_in_environment("VECFERRY_SCHEDULES_SEED", SEED);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = any_schedule();
    let mut trees: Vec<_> = (0..count).map(|_| strategy.new_tree(&mut runner).unwrap()).collect();
    let schedules: Vec<_> = trees.iter().map(ValueTree::current).collect();
    let begin = Instant::now();
    let ran = carry_out_all(&schedules);
    let seconds = begin.elapsed().as_secs();
    let mut sum = Tally::default();
    let mut failed = Vec::new();
    for (place, outcome) in ran {
        match outcome {
            Ok(tally) => sum.add(tally),
            Err(error) => failed.push((place, error)),
        }
    }
    println!("{count} schedules of seed {seed} in {seconds} s: {sum:?}, {} bad", failed.len());
    failed.sort_unstable();
    for (place, error) in &failed {
        println!("schedule {place}, {:?}: {error}", schedules[*place]);
    }
    if let Some((place, _)) = failed.first() {
        let (smallest, error) = shrunk(&mut trees[*place]);
        panic!(
            "{} of {count} schedules (seed {seed}) fail, among them\n{smallest:#?}\n{error}",
            failed.len()
        );
    }
    // Schedules in which nothing goes well, or nothing happens, would show nothing. On a busy machine some have no time.
    assert!(u64::from(sum.successful) * 4 + u64::from(sum.took_too_long) >= count, "only {sum:?}");
    assert!(u64::from(sum.happened) >= count, "only {sum:?}");
}

/// Some at once; the outcome of each with its place.
fn carry_out_all(schedules: &[Schedule]) -> Vec<(usize, Result<Tally, String>)> {
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(schedule) = schedules.get(place) else { return };
                    let outcome = carry_out(schedule);
                    outcomes.lock().unwrap().push((place, outcome));
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// The smallest schedule that can be found in some time and still fails.
fn shrunk(tree: &mut impl ValueTree<Value = Schedule>) -> (Schedule, String) {
    let begin = Instant::now();
    let mut smallest = (tree.current(), "not again".to_owned());
    let fails = |schedule: Schedule| carry_out(&schedule).err();
    if let Some(error) = fails(tree.current()) {
        smallest.1 = error;
    }
    let mut goes_on = tree.simplify();
    while goes_on && begin.elapsed() < SHRINK_MAX {
        goes_on = match fails(tree.current()) {
            Some(error) => {
                smallest = (tree.current(), error);
                tree.simplify()
            }
            None => tree.complicate(),
        };
    }
    smallest
}
