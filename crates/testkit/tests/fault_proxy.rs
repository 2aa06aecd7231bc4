//! The fault proxy, between a plain HTTP/2 client and an upstream that echoes and remembers what it got.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in helpers of tests, too")]

mod echo;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use prost::Message;
use vecferry_milvus::proto::{common, milvus, schema};
use vecferry_testkit::fault_proxy::{Act, Answer, Armed, Calls, Cut, Fault, Garbage, ReleaseError, When};
use vecferry_testkit::{DeniedBy, FaultProxy};

use echo::{Answered, Caller, Upstream, framed};

/// Nothing waits that long unless it has failed.
const SOON: Duration = Duration::from_secs(20);
const CUTS: [Cut; 2] = [Cut::Stream, Cut::Connection];

struct Setup {
    upstream: Upstream,
    proxy: FaultProxy,
    caller: Caller,
}

impl Setup {
    fn new() -> Self {
        let upstream = Upstream::start();
        let proxy = FaultProxy::start(&upstream.uri());
        let caller = Caller::connect(&proxy.uri());
        Self { upstream, proxy, caller }
    }

    fn arm(&self, fault: Fault) -> Armed {
        self.proxy.arm("Insert", When::Times(1), fault)
    }

    #[track_caller]
    fn answers(&self, message: &[u8]) {
        let caller = if self.caller.is_closed() { &Caller::connect(&self.proxy.uri()) } else { &self.caller };
        let answer = caller.call("Insert", message).expect("an answer");
        assert_eq!(answer.body, framed(message));
    }

    #[track_caller]
    fn assert_cut(&self, cut: Cut) {
        match cut {
            Cut::Connection => assert!(self.caller.closes_within(SOON)),
            Cut::Stream => assert!(!self.caller.is_closed()),
        }
    }

    fn arrived(&self) -> Vec<Vec<u8>> {
        self.upstream.requests().into_iter().map(|request| request.body[5..].to_vec()).collect()
    }
}

fn milvus_status(answer: &Answered) -> common::Status {
    assert_eq!(answer.trailer("grpc-status"), "0");
    milvus::MutationResult::decode(&answer.body[5..]).expect("a message").status.expect("a status")
}

#[test]
fn everything_passes_byte_for_byte() {
    let setup = Setup::new();
    let answer = setup.caller.call("Insert", b"rows").unwrap();
    let direct = Caller::connect(&setup.upstream.uri()).call("Insert", b"rows").unwrap();
    assert_eq!(answer.head.headers, direct.head.headers);
    assert_eq!(answer.body, direct.body);
    assert_eq!(answer.trailers, direct.trailers);
    assert_eq!(answer.trailer("echo-bin"), "AAEC");

    let [proxied, plain] = &setup.upstream.requests()[..] else { panic!("two requests") };
    assert_eq!(proxied.path, "/milvus.proto.milvus.MilvusService/Insert");
    assert_eq!(proxied.headers, plain.headers);
    assert_eq!(proxied.headers["dbname"], "archive");
    assert_eq!((&proxied.path, &proxied.body), (&plain.path, &plain.body));
}

#[test]
fn an_answer_without_a_message_passes() {
    let setup = Setup::new();
    let answer = setup.caller.call("Fail", b"").unwrap();
    assert_eq!(answer.head.headers["grpc-status"], "12");
    assert_eq!(answer.head.headers["grpc-message"], "no such call");
    assert!(answer.body.is_empty() && answer.trailers.is_none());
}

#[test]
fn a_message_of_64_mib_passes() {
    let setup = Setup::new();
    let message = (0..=255_u8).collect::<Vec<_>>().repeat(64 << 12);
    assert_eq!(message.len(), 64 << 20);
    let answer = setup.caller.call("Insert", &message).unwrap();
    assert!(answer.body == framed(&message));
}

#[test]
fn a_stream_passes_as_it_comes() {
    let setup = Setup::new();
    let mut conversation = setup.caller.converse("Stream");
    for message in [&b"one"[..], b"two", b"three"] {
        // Each is answered before the next is sent.
        assert_eq!(conversation.exchange(message), framed(message));
    }
    assert_eq!(conversation.end()["grpc-status"], "0");
}

#[test]
fn a_call_cut_before_it_is_sent_does_not_arrive() {
    for cut in CUTS {
        let setup = Setup::new();
        let fault = setup.arm(Fault::CutBeforeSend(cut));
        setup.caller.call("Insert", b"lost").unwrap_err();
        setup.assert_cut(cut);
        assert_eq!(fault.fired(), 1);
        setup.answers(b"next");
        assert_eq!(setup.arrived(), [b"next"]);
    }
}

#[test]
fn a_call_cut_after_it_is_applied_has_arrived() {
    for cut in CUTS {
        let setup = Setup::new();
        let fault = setup.arm(Fault::CutAfterApply(cut));
        setup.caller.call("Insert", b"kept").unwrap_err();
        assert_eq!(setup.arrived(), [b"kept"]);
        setup.assert_cut(cut);
        assert_eq!(fault.fired(), 1);
        setup.answers(b"next");
    }
}

#[test]
fn a_stream_that_is_cut_leaves_the_others_of_its_connection() {
    let setup = Setup::new();
    let hold = setup.proxy.arm("Query", When::Always, Fault::HalfOpen);
    let query = setup.caller.start("Query", b"page");
    assert!(hold.wait_until_fired(SOON));
    setup.arm(Fault::CutBeforeSend(Cut::Stream));
    setup.caller.call("Insert", b"lost").unwrap_err();
    hold.release(SOON).unwrap();
    assert_eq!(setup.caller.finish(query).unwrap().body, framed(b"page"));
}

#[test]
fn a_delayed_call_arrives_late() {
    let setup = Setup::new();
    let delay = Duration::from_millis(100);
    let fault = setup.arm(Fault::Delay(delay));
    let start = Instant::now();
    let call = setup.caller.start("Insert", b"slow");
    assert!(fault.wait_until_fired(SOON));
    assert!(setup.arrived().is_empty());
    assert_eq!(setup.caller.finish(call).unwrap().body, framed(b"slow"));
    assert!(start.elapsed() >= delay);
}

#[test]
fn a_far_server_answers_late_and_no_slower() {
    let delay = Duration::from_millis(50);
    let upstream = Upstream::start();
    let proxy = FaultProxy::start_with_delay(&upstream.uri(), delay);
    let caller = Caller::connect(&proxy.uri());
    let begin = Instant::now();
    assert_eq!(caller.call("Insert", b"rows").unwrap().body, framed(b"rows"));
    assert!(begin.elapsed() >= 2 * delay);

    // 96 chunks each way. Were each delayed on its own, they would take 9.6 s.
    let message = (0..=255_u8).collect::<Vec<_>>().repeat(2 << 12);
    let begin = Instant::now();
    let calls = [(); 3].map(|()| caller.start("Insert", &message));
    for call in calls {
        assert!(caller.finish(call).unwrap().body == framed(&message));
    }
    assert!(begin.elapsed() < 100 * delay, "{:?}", begin.elapsed());
}

#[test]
fn a_network_cut_breaks_connections_to_a_far_server_too() {
    let upstream = Upstream::start();
    let proxy = FaultProxy::start_with_delay(&upstream.uri(), Duration::from_millis(20));
    let caller = Caller::connect(&proxy.uri());
    caller.call("Insert", b"rows").unwrap();
    proxy.refuse_all(true);
    assert!(caller.closes_within(SOON));
    proxy.refuse_all(false);
    assert_eq!(Caller::connect(&proxy.uri()).call("Insert", b"next").unwrap().body, framed(b"next"));
}

#[test]
fn a_half_open_call_is_applied_and_answered_on_release_only() {
    let setup = Setup::new();
    let fault = setup.arm(Fault::HalfOpen);
    let call = setup.caller.start("Insert", b"rows");
    assert!(fault.wait_until_fired(SOON));
    assert_eq!(setup.arrived(), [b"rows"]);
    setup.answers(b"another");
    assert!(!call.is_finished());
    assert!(!setup.caller.is_closed());

    assert_eq!(fault.release(SOON).unwrap().message(), &b"rows"[..]);
    let answer = setup.caller.finish(call).unwrap();
    assert_eq!(answer.body, framed(b"rows"));
    assert_eq!(answer.trailer("echo-bin"), "AAEC");
    assert!(matches!(fault.release(SOON), Err(ReleaseError::NothingHeld)));
}

#[test]
fn a_half_open_call_ends_with_the_proxy() {
    let Setup { upstream, proxy, caller } = Setup::new();
    let fault = proxy.arm(Calls::Any, When::Always, Fault::HalfOpen);
    let call = caller.start("Flush", b"");
    assert!(fault.wait_until_fired(SOON));
    drop(proxy);
    caller.finish(call).unwrap_err();
    assert!(matches!(fault.release(SOON), Err(ReleaseError::ProxyEnded)));
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn answers_are_made_up() {
    let setup = Setup::new();
    setup.proxy.arm(["Insert", "Query"], When::Times(2), Fault::Answer(Answer::RateLimit));
    for method in ["Insert", "Query"] {
        let status = milvus_status(&setup.caller.call(method, b"").unwrap());
        assert_eq!((status.code, status.error_code), (8, 49));
        assert_eq!(status.reason, "rate limit exceeded");
    }
    setup.arm(Fault::Answer(Answer::ForceDeny));
    let status = milvus_status(&setup.caller.call("Insert", b"").unwrap());
    assert_eq!((status.code, status.error_code), (9, 48));

    let own = common::Status { code: 1100, reason: "no".into(), ..common::Status::default() };
    setup.proxy.arm("DropAlias", When::Always, Fault::Answer(Answer::Status(own.clone())));
    let answer = setup.caller.call("DropAlias", b"").unwrap();
    assert_eq!(common::Status::decode(&answer.body[5..]).unwrap(), own);
    assert!(setup.arrived().is_empty());
}

#[test]
fn grpc_statuses_are_made_up() {
    let setup = Setup::new();
    setup.arm(Fault::Answer(Answer::Oversize));
    let answer = setup.caller.call("Insert", b"").unwrap();
    assert_eq!(answer.head.headers["grpc-status"], "8");
    assert!(
        answer.head.headers["grpc-message"].to_str().unwrap().contains("received message larger than max")
    );
    let unavailable = Answer::Grpc { code: 14, message: "50 % gone".into() };
    setup.arm(Fault::Answer(unavailable));
    let answer = setup.caller.call("Insert", b"").unwrap();
    assert_eq!(answer.head.headers["grpc-status"], "14");
    assert_eq!(answer.head.headers["grpc-message"], "50 %25 gone");
    assert!(setup.arrived().is_empty());
}

#[test]
fn only_calls_that_need_a_privilege_are_denied() {
    let setup = Setup::new();
    let denied = setup.proxy.arm(Calls::Any, When::Always, Fault::Answer(Answer::Denied(DeniedBy::V2_5)));
    let answer = setup.caller.call("ShowPartitions", b"").unwrap();
    assert_eq!(answer.head.headers["grpc-status"], "7");
    let said = "PrivilegeShowPartitions: permission deny to somebody in the `default` database";
    assert_eq!(answer.head.headers["grpc-message"], said);
    setup.caller.call("DescribeCollection", b"passes").unwrap();
    assert_eq!((setup.arrived(), denied.fired()), (vec![b"passes".to_vec()], 1));
}

#[test]
fn somebody_else_is_faster() {
    let setup = Setup::new();
    let uri = setup.upstream.uri();
    let act = Act::new(move || drop(Caller::connect(&uri).call("Insert", b"theirs")));
    let raced = setup.arm(Fault::Raced(act));
    setup.answers(b"ours");
    setup.answers(b"ours again");
    assert_eq!(setup.arrived(), [&b"theirs"[..], b"ours", b"ours again"]);
    assert_eq!(raced.fired(), 1);
}

#[test]
fn an_oversize_answer_has_its_size() {
    let setup = Setup::new();
    setup.arm(Fault::OversizeAnswer(20 << 20));
    let answer = setup.caller.call("Insert", b"rows").unwrap();
    assert_eq!(answer.body.len(), 5 + (20 << 20));
    assert_eq!(answer.body[1..5], (20_u32 << 20).to_be_bytes());
    assert_eq!(setup.arrived(), [b"rows"]);
}

/// An answer to a `Query` whose columns have these names.
fn answer_with(columns: &[&str], code: i32) -> Vec<u8> {
    let column =
        |name: &&str| schema::FieldData { field_name: (*name).into(), ..schema::FieldData::default() };
    let answer = milvus::QueryResults {
        status: Some(common::Status { code, ..common::Status::default() }),
        fields_data: columns.iter().map(column).collect(),
        collection_name: "books".into(),
        ..milvus::QueryResults::default()
    };
    answer.encode_to_vec()
}

#[test]
fn an_emptied_page_is_a_success_without_rows() {
    let setup = Setup::new();
    let fault = setup.proxy.arm("Query", When::Always, Fault::EmptiedPage);
    let answer = setup.caller.call("Query", &answer_with(&["id", "vector"], 0)).unwrap();
    assert_eq!(answer.body, framed(&answer_with(&[], 0)));
    assert_eq!(answer.trailer("grpc-status"), "0");
    assert_eq!(fault.fired(), 1);
    for other in [answer_with(&["count(*)"], 0), answer_with(&["id"], 100), answer_with(&[], 0)] {
        assert_eq!(setup.caller.call("Query", &other).unwrap().body, framed(&other));
    }
    assert_eq!(fault.fired(), 1);
    assert_eq!(setup.arrived().len(), 4);
}

#[test]
fn a_call_that_was_applied_can_be_answered_otherwise() {
    let setup = Setup::new();
    let status =
        common::Status { code: 65535, reason: "a channel failed".into(), ..common::Status::default() };
    let fault = setup.arm(Fault::AnswerAfterApply(Answer::Status(status.clone())));
    let answer = setup.caller.call("Insert", b"kept").unwrap();
    assert_eq!(milvus_status(&answer), status);
    assert_eq!(setup.arrived(), [b"kept"]);
    assert_eq!(fault.fired(), 1);
    setup.answers(b"next");
}

#[test]
fn garbage_is_no_message() {
    let setup = Setup::new();
    setup.arm(Fault::Garbage(Garbage::Noise(7)));
    let answer = setup.caller.call("Insert", b"rows").unwrap();
    assert_eq!(answer.body, framed(&answer.body[5..]));
    milvus::MutationResult::decode(&answer.body[5..]).unwrap_err();

    setup.arm(Fault::Garbage(Garbage::Truncated));
    let answer = setup.caller.call("Insert", b"whole and half").unwrap();
    assert_eq!(answer.body, framed(b"whole and half")[..5 + 7]);
    assert_eq!(answer.trailer("grpc-status"), "0");
    assert_eq!(setup.arrived().len(), 2);
}

#[test]
fn a_held_request_lands_when_its_client_is_long_dead() {
    for cut in CUTS {
        let Setup { upstream, proxy, caller } = Setup::new();
        let fault = proxy.arm("Insert", When::Nth(2), Fault::Hold(Some(cut)));
        caller.call("Insert", b"first").unwrap();
        caller.call("Insert", b"zombie").unwrap_err();
        drop(caller);
        assert!(fault.wait_until_fired(SOON));
        assert_eq!((fault.held(), upstream.requests().len()), (1, 1));

        let reply = fault.release(SOON).unwrap();
        assert_eq!(reply.message(), &b"zombie"[..]);
        assert_eq!(reply.grpc_status(), Some(0));
        let requests = upstream.requests();
        assert_eq!(requests[1].headers, requests[0].headers);
        assert_eq!(requests[1].body, framed(b"zombie"));
        assert_eq!(fault.held(), 0);
    }
}

#[test]
fn a_held_request_may_hang_its_client() {
    let setup = Setup::new();
    let fault = setup.proxy.arm("Insert", When::Times(2), Fault::Hold(None));
    let abandoned = setup.caller.start("Insert", b"abandoned");
    assert!(fault.wait_until_fired(SOON));
    abandoned.abort();
    let patient = setup.caller.start("Insert", b"patient");
    assert!(fault.wait_until_fired_times(2, SOON));
    assert!(setup.arrived().is_empty());

    assert_eq!(fault.release(SOON).unwrap().message(), &b"abandoned"[..]);
    assert_eq!(fault.release(SOON).unwrap().message(), &b"patient"[..]);
    assert_eq!(setup.caller.finish(patient).unwrap().body, framed(b"patient"));
    assert_eq!(setup.arrived().len(), 2);
}

#[test]
fn the_status_of_a_released_request_is_read() {
    let setup = Setup::new();
    let fault = setup.proxy.arm(Calls::Any, When::Always, Fault::Hold(Some(Cut::Stream)));
    let status = common::Status { code: 4, reason: "no alias".into(), ..common::Status::default() };
    let inside = milvus::MutationResult { status: Some(status.clone()), ..milvus::MutationResult::default() };
    for (method, message) in [("Insert", inside.encode_to_vec()), ("DropAlias", status.encode_to_vec())] {
        // The upstream echoes, so that what is sent is what it answers.
        setup.caller.call(method, &message).unwrap_err();
        assert_eq!(fault.release(SOON).unwrap().status(), Some(status.clone()));
    }
    setup.caller.call("Fail", b"").unwrap_err();
    let reply = fault.release(SOON).unwrap();
    assert_eq!((reply.grpc_status(), reply.grpc_message()), (Some(12), Some("no such call")));
}

#[test]
fn a_network_cut_breaks_and_refuses_until_it_is_over() {
    let setup = Setup::new();
    let fault = setup.arm(Fault::HalfOpen);
    let call = setup.caller.start("Insert", b"rows");
    assert!(fault.wait_until_fired(SOON));
    let address = setup.proxy.uri().replace("http://", "");

    setup.proxy.refuse_all(true);
    setup.proxy.refuse_all(true);
    setup.caller.finish(call).unwrap_err();
    assert!(setup.caller.closes_within(SOON));
    let refused = TcpStream::connect(&address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    setup.proxy.refuse_all(false);
    setup.answers(b"again");
    assert_eq!(setup.arrived(), [&b"rows"[..], b"again"]);
}

#[test]
fn an_upstream_that_ends_takes_its_clients_connections_along() {
    let Setup { upstream, proxy, caller } = Setup::new();
    let call = caller.start("Never", b"");
    assert!(upstream.wait_for_requests(1));
    drop(upstream);
    caller.finish(call).unwrap_err();
    assert!(caller.closes_within(SOON));
    assert!(Caller::connect(&proxy.uri()).call("Insert", b"").is_err());
}

#[test]
fn upstream_hears_of_a_client_that_gives_up() {
    let setup = Setup::new();
    let call = setup.caller.start("Never", b"");
    assert!(setup.upstream.wait_for_requests(1));
    call.abort();
    assert!(setup.upstream.wait_for_abandoned(1));
}

#[test]
fn faults_fire_when_they_should() {
    let setup = Setup::new();
    let reset = || Fault::CutBeforeSend(Cut::Stream);
    let fails = || setup.caller.call("Insert", b"").is_err();
    let pattern = |calls: usize| (0..calls).map(|_| fails()).collect::<Vec<_>>();

    let (first, second) = (setup.arm(reset()), setup.arm(reset()));
    assert_eq!(pattern(3), [true, true, false]);
    assert_eq!((first.fired(), second.fired()), (1, 1));

    setup.proxy.arm("Insert", When::Nth(2), reset());
    assert_eq!(pattern(3), [false, true, false]);

    let always = setup.proxy.arm(Calls::Any, When::Always, reset());
    assert_eq!(pattern(2), [true, true]);
    always.disarm();
    assert_eq!(pattern(2), [false, false]);

    let chance = || setup.proxy.arm("Insert", When::Chance { probability: 0.5, seed: 11 }, reset());
    let one = chance();
    let luck = pattern(32);
    one.disarm();
    assert!(luck.contains(&true) && luck.contains(&false));
    assert_eq!(one.fired(), luck.iter().filter(|fired| **fired).count() as u64);
    let again = chance();
    assert_eq!(pattern(32), luck);
    again.disarm();
}

#[test]
fn calls_are_counted_and_awaited() {
    let setup = Setup::new();
    assert!(!setup.proxy.wait_for_calls("Insert", 1, Duration::from_millis(10)));
    let fault = setup.arm(Fault::CutBeforeSend(Cut::Stream));
    assert!(!fault.wait_until_fired(Duration::from_millis(10)));
    std::thread::scope(|scope| {
        scope.spawn(|| (0..3).map(|_| setup.caller.call("Insert", b"")).filter(Result::is_ok).count());
        assert!(setup.proxy.wait_for_calls("Insert", 3, SOON));
        assert!(fault.wait_until_fired(SOON));
    });
    setup.caller.call("Flush", b"").unwrap();
    assert_eq!(setup.proxy.calls_by_method(), [("Flush".into(), 1), ("Insert".into(), 3)].into());
    assert_eq!(setup.proxy.calls("Query"), 0);
}
