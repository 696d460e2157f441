//! What lies on disk, as the container runtime measures it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// What one container takes on disk (Docker: `SizeRw`, `SizeRootFs`). Files in volumes are not part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Files it has written or changed: its own layer, gone with it.
    pub written: Option<Bytes>,
    /// The image below; all containers of that image share it.
    pub image: Option<Bytes>,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: Arc<str>,
    /// `local`, or the name of a plugin.
    pub driver: Option<Arc<str>>,
    /// The size of its files. Docker measures those of the driver `local` alone.
    pub size: Option<Bytes>,
    /// How many containers have it, those that do not run among them.
    pub users: Option<u64>,
}
