//! What the settings say of the instance. It is believed before the metadata service.

use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};

use super::{Reading, Source, Told};
use crate::roots::{Clock, Roots};
use crate::snapshot::{Instance, SourceName};

/// The instance as the settings, or a recorded host's `host.json`, give it.
pub struct Given {
    instance: Instance,
    clock: Clock,
}

impl Given {
    /// `None` where nothing is given. A recorded host's own file gives way to the settings.
    pub fn new(roots: &Roots, kind: Option<&str>, region: Option<&str>) -> Option<Given> {
        let file = roots.recorded.as_deref().map(|recorded| &recorded.host);
        let kind = kind.or(file.and_then(|file| file.instance_type.as_deref()));
        let region = region.or(file.and_then(|file| file.region.as_deref()));
        let instance = Instance { kind: kind.map(Into::into), region: region.map(Into::into), ..Instance::default() };
        (instance != Instance::default()).then_some(Given { instance, clock: roots.clock })
    }
}

impl Source for Given {
    fn name(&self) -> SourceName {
        SourceName::Settings
    }

    fn every(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn read(&mut self, _: Instant) -> BoxFuture<'_, Reading> {
        let told = Some(Told::Instance(self.instance.clone()));
        std::future::ready(Reading { from: self.name(), at: self.clock.now(), told, gaps: Vec::new() }).boxed()
    }
}
