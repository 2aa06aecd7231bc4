//! Tells webhooks of changes of jobs: signed, in the order of the changes of a job, and again where it fails. What is to be
//! told is in the record, so that every process can do it; this module does not know who may make a webhook.

mod body;
mod send;
mod signature;
mod wait;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use vecferry_migrate::Lang;
use vecferry_store::Error as StoreError;

pub(crate) use body::test_body;
pub(crate) use send::{Sender, Trouble};

use crate::outbound::Address;
use crate::service::Service;
use crate::tables::{DeliveryRecord, Outcome, WebhookRecord, webhook_purpose};

/// How often it is seen whether something is due.
const TICK: Duration = Duration::from_millis(500);
/// A delivery is another process's to take when its sender was silent for so long. An attempt is over long before.
const HELD_MS: i64 = 60_000;
/// Attempts that are under way when the service ends have so long.
const END_MAX: Duration = Duration::from_secs(5);
/// Attempts at once.
const PARALLEL_MAX: usize = 32;
/// Attempts at once for one webhook: one that does not answer holds the others up no longer.
const PARALLEL_A_WEBHOOK: usize = 2;

/// Delivers until the service ends.
pub(crate) async fn deliver(service: Arc<Service>) {
    let sender = Arc::new(Sender::new());
    let mut sending = JoinSet::new();
    let mut busy: BTreeMap<String, usize> = BTreeMap::new();
    while !service.stopping().is_cancelled() {
        if let Err(error) = begin(&service, &sender, &mut sending, &mut busy).await {
            tracing::debug!(%error, "no webhook can be told");
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            Some(ended) = sending.join_next() => ended_one(&mut busy, ended),
            () = service.stopping().cancelled() => {}
        }
    }
    // What is not over then is sent again, by whichever process comes next.
    let _ = tokio::time::timeout(END_MAX, async { while sending.join_next().await.is_some() {} }).await;
}

fn ended_one(busy: &mut BTreeMap<String, usize>, ended: Result<String, tokio::task::JoinError>) {
    let Ok(webhook_id) = ended else { return busy.clear() };
    if let Some(count) = busy.get_mut(&webhook_id) {
        *count = count.saturating_sub(1);
    }
    busy.retain(|_, count| *count > 0);
}

/// Begins as many attempts as may be.
async fn begin(
    service: &Arc<Service>,
    sender: &Arc<Sender>,
    sending: &mut JoinSet<String>,
    busy: &mut BTreeMap<String, usize>,
) -> Result<(), StoreError> {
    if sending.len() >= PARALLEL_MAX {
        return Ok(());
    }
    for webhook_id in service.tables().due_webhooks().await? {
        let count = busy.get(&webhook_id).copied().unwrap_or(0);
        for _ in count..PARALLEL_A_WEBHOOK {
            if sending.len() >= PARALLEL_MAX {
                return Ok(());
            }
            let Some((delivery, webhook)) = service.tables().take_delivery(&webhook_id, HELD_MS).await?
            else {
                break;
            };
            *busy.entry(webhook_id.clone()).or_default() += 1;
            let (service, sender) = (Arc::clone(service), Arc::clone(sender));
            sending.spawn(async move {
                attempt(&service, &sender, &delivery, &webhook).await;
                webhook.webhook_id
            });
        }
    }
    Ok(())
}

/// One attempt, and its record.
async fn attempt(service: &Service, sender: &Sender, delivery: &DeliveryRecord, webhook: &WebhookRecord) {
    let outcome = match told(service, sender, delivery, webhook).await {
        Ok(Ok(())) => Outcome::Delivered,
        Ok(Err(trouble)) => {
            let now = service.tables().now_ms().await.unwrap_or(delivery.made_ms);
            let next_ms = wait::after(delivery.attempts).map(|wait| now.saturating_add(wait));
            Outcome::Failed { trouble: trouble.to_json(), next_ms }
        }
        // Its time runs out, and it is taken again.
        Err(error) => return tracing::debug!(%error, "a delivery waits for the store"),
    };
    let (delivery_id, webhook_id) = (&delivery.delivery_id, &webhook.webhook_id);
    let result = match &outcome {
        Outcome::Delivered => "delivered",
        Outcome::Failed { next_ms: Some(_), .. } => "failed",
        Outcome::Failed { next_ms: None, .. } => {
            tracing::warn!(%delivery_id, %webhook_id, "a delivery was given up");
            "given_up"
        }
    };
    metrics::counter!("vecferry_webhook_attempts_total", "result" => result).increment(1);
    if let Err(error) = service.tables().record_attempt(delivery, outcome).await {
        tracing::debug!(%error, %delivery_id, "the attempt is not recorded: it is made again");
    }
}

/// Sends a delivery. The outer error is the store's.
async fn told(
    service: &Service,
    sender: &Sender,
    delivery: &DeliveryRecord,
    webhook: &WebhookRecord,
) -> Result<Result<(), Trouble>, StoreError> {
    let body = match (&delivery.body, &delivery.job_id) {
        (Some(body), _) => body.clone(),
        (None, Some(job_id)) => {
            let Some(job) = service.tables().any_migration(job_id).await? else {
                return Ok(Err(Trouble::JobIsGone));
            };
            let body = body::of_job(job, delivery, Lang::En);
            service.tables().record_body(&delivery.delivery_id, &body).await?;
            body
        }
        (None, None) => return Ok(Err(Trouble::JobIsGone)),
    };
    Ok(send(service, sender, webhook, &delivery.delivery_id, &body).await)
}

/// Signs a text and sends it.
pub(crate) async fn send(
    service: &Service,
    sender: &Sender,
    webhook: &WebhookRecord,
    delivery_id: &str,
    body: &str,
) -> Result<(), Trouble> {
    let secret = service.open_secret(&webhook_purpose(&webhook.webhook_id), &webhook.secret);
    let secret = secret.map_err(|problem| Trouble::Secret(Box::new(problem)))?;
    let address = Address::parse(&webhook.url).ok_or(Trouble::Address)?;
    let seconds = service.tables().now_ms().await.map_err(|_| Trouble::Store)? / 1000;
    let signature = signature::header(&secret, seconds, body);
    let resolved = service.resolve(address.host(), address.port());
    let message = send::Message { delivery_id, signature: &signature, body };
    sender.post(&address, resolved, message).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use vecferry_migrate::JobState;
    use vecferry_milvus::Secret;

    use super::*;
    use crate::secret::keyring::{KeySource, Keyring};
    use crate::settings::Settings;
    use crate::tables::webhooks::tests::with_job;
    use crate::tables::{NewWebhook, Wanted};

    /// A service with a job, and a webhook at an address.
    async fn with_webhook(directory: &tempfile::TempDir, url: String, secret: &str) -> Arc<Service> {
        let keys = directory.path().join("keys");
        assert!(Keyring::create_file(&keys).await.unwrap());
        let keyring = Keyring::load(&KeySource::File(keys)).await.unwrap();
        let store = vecferry_store::sqlite::open(&directory.path().join("state")).unwrap();
        let (service, _) = Service::open(store, keyring, Settings::default()).await.unwrap();
        let (_, org_id) = with_job(Arc::clone(service.store())).await;
        for webhook in service.tables().webhooks(&org_id).await.unwrap() {
            service.tables().remove_webhook(&webhook.webhook_id).await.unwrap();
        }
        let sealed = service.seal(&webhook_purpose("hook"), &Secret::new(secret)).unwrap();
        let webhook = NewWebhook {
            webhook_id: "hook".into(),
            org_id,
            project_id: None,
            url,
            secret: sealed,
            created_by: "user".into(),
        };
        service.tables().add_webhook(webhook).await.unwrap();
        service
    }

    /// Makes all attempts that are due, and gives the deliveries as they are recorded then.
    async fn attempted(service: &Arc<Service>) -> Vec<DeliveryRecord> {
        let (mut sending, mut busy) = (JoinSet::new(), BTreeMap::new());
        begin(service, &Arc::new(Sender::new()), &mut sending, &mut busy).await.unwrap();
        while let Some(ended) = sending.join_next().await {
            ended_one(&mut busy, ended);
        }
        assert!(busy.is_empty(), "{busy:?}");
        service.tables().deliveries("hook").await.unwrap()
    }

    /// Reads one request, answers it, and gives its head and body.
    async fn answered(listener: &TcpListener, answer: &str) -> (String, String) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut said = String::new();
        loop {
            let mut part = [0; 8192];
            let count = stream.read(&mut part).await.unwrap();
            assert!(count > 0, "the request ended early: {said}");
            said.push_str(std::str::from_utf8(&part[..count]).unwrap());
            if said.split_once("\r\n\r\n").is_some_and(|(_, body)| body.ends_with('}')) {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    #[tokio::test]
    async fn a_change_is_told_signed_and_again_until_it_arrives() {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let service = with_webhook(&directory, url, "vfw_secret").await;
        assert!(service.tables().want("job", Wanted::Cancel, &[JobState::Pending]).await.unwrap());
        let refusal = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
        let (deliveries, (_, first)) = tokio::join!(attempted(&service), answered(&listener, refusal));
        let failed = &deliveries[0];
        assert_eq!((failed.attempts, failed.delivered_ms), (1, None));
        let trouble = failed.trouble.as_deref().unwrap();
        assert_eq!(Trouble::of_json(trouble, Lang::En), "the answer has the status 503");
        // Its wait is over.
        let now = service.tables().now_ms().await.unwrap();
        let due = Outcome::Failed { trouble: String::new(), next_ms: Some(now) };
        service.tables().record_attempt(failed, due).await.unwrap();
        let success = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let (deliveries, (head, body)) = tokio::join!(attempted(&service), answered(&listener, success));
        assert_eq!(body, first, "every attempt sends the same");
        let told: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&told["status"], &told["event"]), (&"CANCELING".into(), &"job.stateChanged".into()));
        let signed = head.split_once("vecferry-signature: t=").unwrap().1;
        let seconds: i64 = signed.split_once(',').unwrap().0.parse().unwrap();
        let expected = signature::header(&Secret::new("vfw_secret"), seconds, &body);
        assert!(head.contains(&format!("vecferry-signature: {expected}")), "{head}");
        assert!(head.contains(&format!("vecferry-delivery: {}", deliveries[0].delivery_id)), "{head}");
        assert_eq!((deliveries[0].attempts, deliveries[0].next_ms), (2, None));
        assert!(deliveries[0].delivered_ms.is_some());
    }

    #[tokio::test]
    async fn an_address_that_is_denied_by_now_is_not_called() {
        let directory = tempfile::tempdir().unwrap();
        let url = "http://169.254.169.254/latest".to_owned();
        let service = with_webhook(&directory, url, "vfw_secret").await;
        assert!(service.tables().want("job", Wanted::Cancel, &[JobState::Pending]).await.unwrap());
        let deliveries = attempted(&service).await;
        let trouble = Trouble::of_json(deliveries[0].trouble.as_deref().unwrap(), Lang::En);
        assert!(trouble.contains("169.254.0.0/16"), "{trouble}");
        assert!(deliveries[0].next_ms.is_some(), "it is tried again: the rules may change");
    }
}
