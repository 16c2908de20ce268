//! What stands behind the front and changes with a reload: delivery, lookups, shared counters, names and attributes.
//!
//! First all that can fail is prepared, then all is put in force. What did not change is left alone, so that
//! connections and cached answers are kept.

use super::delivery::Sources;
use super::lookups::{self, Lookups};
use super::reload::ReloadError;
use super::shared_settings;
use crate::actions::Pipeline;
use crate::config::Config;
use crate::directory::Directory;
use crate::dkim::Signer;
use crate::live::Live;
use crate::queue::{self, Queue};
use crate::quota::Quotas;
use crate::quota::shared::Shared;
use crate::verdict::dns::Dns;
use edict_table::load::Loaded;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The parts that serve.
pub struct Behind {
    pub(super) live: Arc<Live>,
    pub(super) queue: Queue,
    pub(super) quotas: Arc<Quotas>,
    pub(super) pipeline: Arc<Pipeline<Queue>>,
    pub(super) lookups: Arc<Lookups>,
    pub(super) directory: Directory,
    pub(super) signer: Signer,
    /// What delivery was built from.
    pub(super) sources: Mutex<Sources>,
}

impl std::fmt::Debug for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Behind").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// What a reload puts in force; nothing in it can fail any more.
pub(super) struct Prepared {
    delivery: Option<(Sources, queue::Settings)>,
    dns: Option<Dns>,
    shared: Option<Option<Shared>>,
}

impl Behind {
    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and checks what is new between two configurations.
    ///
    /// # Errors
    /// What cannot be; nothing has changed.
    pub(super) fn prepare(
        &self,
        old: &Config,
        new: &Config,
        hostname: &str,
    ) -> Result<Prepared, ReloadError> {
        let sources = Sources::read(new, hostname)?;
        let dns = match sources.asks_as(&self.sources()) {
            true => None,
            false => Some(lookups::dns(&new.next_hops.name_servers)?),
        };
        let delivery = if sources == *self.sources() {
            None
        } else {
            let mut settings = sources.settings()?;
            settings.directory = self.directory.clone();
            settings.signer = self.signer.clone();
            Some((sources, settings))
        };
        let shared = match new.shared_quota == old.shared_quota {
            true => None,
            false => {
                let shared = new.shared_quota.as_ref().map(|s| self.quotas.prepare(shared_settings(s)));
                Some(shared.transpose().map_err(|e| ReloadError::Shared(e.to_string()))?)
            }
        };
        Ok(Prepared { delivery, dns, shared })
    }

    /// Puts it in force, for messages that the table decides on. Within a runtime.
    pub(super) fn commit(&self, prepared: Prepared, new: &Config, hostname: &str, table: &Loaded) {
        if let Some((sources, settings)) = prepared.delivery {
            self.lookups.prober.take_over(&settings);
            self.queue.take_over(Arc::clone(&self.live), settings);
            *self.sources() = sources;
        }
        if let Some(dns) = prepared.dns {
            self.lookups.dns.store(Some(Arc::new(dns)));
        }
        if let Some(shared) = prepared.shared {
            self.quotas.share_by(shared);
        }
        self.pipeline.take_over(hostname, table, &new.attributes);
    }
}
