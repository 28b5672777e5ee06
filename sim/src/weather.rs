//! How messages fare between those who talk.

/// How often they are lost or come twice, and how late they are.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Lost, of 100.
    pub loss_percent: u64,
    /// Delivered twice, of 100.
    pub double_percent: u64,
    /// Under way at least and at most, ms.
    pub delay_ms: (u64, u64),
}

impl Weather {
    /// All arrive, once and soon.
    pub const FINE: Self = Self {
        loss_percent: 0,
        double_percent: 0,
        delay_ms: (0, 2),
    };
}
