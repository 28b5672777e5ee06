//! Who is connected, over all listeners: the limits are the broker's, not a listener's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::kafka::connection::ConnectionLimits;
use crate::kafka::context::Context;

/// Connections of the broker, counted.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    per_ip: HashMap<IpAddr, usize>,
}

impl Seats {
    /// Takes a seat, or says which limit is reached.
    fn take(&self, limits: &ConnectionLimits, ip: IpAddr) -> Result<(), &'static str> {
        let mut taken = self.taken.lock();
        if taken.total >= limits.connections {
            return Err("max.connections");
        }
        let cap = limits.per_ip_overrides.get(&ip);
        let cap = *cap.unwrap_or(&limits.connections_per_ip);
        if taken.per_ip.get(&ip).copied().unwrap_or(0) >= cap {
            return Err("max.connections.per.ip");
        }
        *taken.per_ip.entry(ip).or_default() += 1;
        taken.total += 1;
        Ok(())
    }

    fn leave(&self, ip: IpAddr) {
        let mut taken = self.taken.lock();
        taken.total -= 1;
        if let Some(of_ip) = taken.per_ip.get_mut(&ip) {
            *of_ip -= 1;
            if *of_ip == 0 {
                taken.per_ip.remove(&ip);
            }
        }
    }

    /// Connections open now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.lock().total
    }
}

/// One counted connection; gives its seat back when dropped.
pub(super) struct Seat {
    context: Arc<Context>,
    ip: IpAddr,
}

impl Seat {
    /// Takes a seat, or says which limit is reached.
    pub(super) fn take(
        context: &Arc<Context>,
        limits: &ConnectionLimits,
        ip: IpAddr,
    ) -> Result<Self, &'static str> {
        context.seats.take(limits, ip)?;
        Ok(Self {
            context: Arc::clone(context),
            ip,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.context.seats.leave(self.ip);
    }
}

#[cfg(test)]
mod tests {
    use freshet_settings::Layers;

    use super::*;

    #[test]
    fn a_limit_counts_the_connections_of_all_listeners() {
        let mut limits = ConnectionLimits::of(&Layers::default().sockets());
        (limits.connections, limits.connections_per_ip) = (3, 2);
        let (near, far) = ("127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
        let seats = Seats::default();
        assert_eq!(seats.take(&limits, near), Ok(()));
        assert_eq!(seats.take(&limits, near), Ok(()));
        assert_eq!(seats.take(&limits, near), Err("max.connections.per.ip"));
        assert_eq!(seats.take(&limits, far), Ok(()));
        assert_eq!(seats.take(&limits, far), Err("max.connections"));
        assert_eq!(seats.taken(), 3);
        seats.leave(near);
        assert_eq!(seats.take(&limits, far), Ok(()));
        for ip in [near, far, far] {
            seats.leave(ip);
        }
        assert_eq!(seats.taken(), 0);
        assert!(seats.taken.lock().per_ip.is_empty());
    }
}
