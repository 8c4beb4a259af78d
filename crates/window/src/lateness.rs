//! What is too late.

use weir_model::EventTime;

use crate::Window;

/// How long a window is kept after its end for rows that come late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// In milliseconds.
    pub allowed_ms: u64,
}

impl Lateness {
    /// The watermark at which a window is cleared. That of a window without an end never comes but
    /// with the end of the input.
    #[must_use]
    pub fn cleanup(&self, window: Window) -> EventTime {
        let EventTime(last) = window.max_timestamp();
        let allowed = i64::try_from(self.allowed_ms).unwrap_or(i64::MAX);
        EventTime(last.saturating_add(allowed))
    }

    /// Whether a window has been cleared, so that nothing can be added to it.
    #[must_use]
    pub fn is_gone(&self, window: Window, watermark: EventTime) -> bool {
        window != Window::GLOBAL && self.cleanup(window) <= watermark
    }

    /// Whether a row that no window took goes where late rows go.
    #[must_use]
    pub fn is_late(&self, time: i64, watermark: EventTime) -> bool {
        let allowed = i64::try_from(self.allowed_ms).unwrap_or(i64::MAX);
        EventTime(time.saturating_add(allowed)) <= watermark
    }
}
