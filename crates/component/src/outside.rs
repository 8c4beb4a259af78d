//! What calls that wait may wait for. The host of the process gives it; here nobody knows how.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use weir_operator::HttpClient;

/// Waits for so long.
pub type Sleep = dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// What the calls of one operator reach. Cheap to clone.
#[derive(Clone)]
pub struct Outside {
    /// Sends what the grants of the operator allow.
    pub http: Arc<dyn HttpClient>,
    /// Lets time pass.
    pub sleep: Arc<Sleep>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}
