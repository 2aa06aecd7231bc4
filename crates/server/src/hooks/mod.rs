//! Tells webhooks of changes of jobs: signed, in the order of the changes of a job, and again where it fails. What is to be
//! told is in the record, so that every process can do it; this module does not know who may make a webhook.

mod address;
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

pub(crate) use address::Address;
pub(crate) use body::test_body;
pub(crate) use send::{Sender, Trouble};

use crate::service::Service;
use crate::tables::{DeliveryRecord, Outcome, WebhookRecord, webhook_purpose};

/// How often it is seen whether something is due.
const TICK: Duration = Duration::from_millis(500);
/// A delivery is another process's to take when its sender was silent for so long. An attempt is over long before.
const HELD_MS: i64 = 60_000;
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
    while sending.join_next().await.is_some() {}
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
