//! What a worker does beside copying: it renews its writers, and follows what the job wants.

use std::time::Instant;

use vecferry_store::ErrorKind;

use super::{LOOK_INTERVAL, Worker};
use crate::rate::MaxRate;

impl Worker {
    /// Does again and again what the job wants, and gives all writers time; what is lost is opened anew by whoever needs
    /// it next.
    pub(super) async fn keep(&self) -> std::convert::Infallible {
        let (ttl, mut renewed_at) = (self.copying.tuning.writer_ttl, Instant::now());
        loop {
            tokio::time::sleep(LOOK_INTERVAL.min(ttl / 3)).await;
            self.obey().await;
            if renewed_at.elapsed() < ttl / 3 {
                continue;
            }
            renewed_at = Instant::now();
            let opened: Vec<_> = self.collections.lock().await.values().cloned().collect();
            for one in opened {
                let renewed = self.copying.store.renew_writer(&one.writer, ttl).await;
                if renewed.is_err_and(|error| error.kind() == ErrorKind::Fenced) {
                    self.close(&one).await;
                }
            }
        }
    }

    async fn obey(&self) {
        // A store that can't be read ends the copy where it can't be written.
        let Ok(control) = self.copying.store.control(&self.copying.job_id).await else { return };
        if control.cancel {
            self.copying.cancel.cancel();
        }
        let Ok(workers) = self.copying.store.workers(&self.copying.job_id).await else { return };
        if let Ok(max_rate) = MaxRate::of_stored(control.max_rate.as_deref()) {
            self.copying.pace.set_max_rate(max_rate.map(|rate| rate.share(workers)));
        }
    }
}
