//! Tests of bans together with the other limits of a host.

use super::*;
use crate::error::{Error, ErrorKind};

/// The ban is forgotten after a minute, because it may have been an accident.
#[test]
fn a_forgotten_ban_removes_no_other_limit() {
    let second = Duration::from_secs(1);
    let lost = Lost { sent: second, last: true, flowed: true, again: false, at: second * 2 };
    let after_ban = |host: &mut Host| {
        host.on_opened(second, true);
        host.on_first_bytes(second, second);
        host.on_opened(second * 2, false);
        let error = Error::new(ErrorKind::NetReset, "", "");
        assert!(host.on_failure(second * 2, &error, lost).is_some());
        host.on_first_bytes(second * 4, second * 4);
        assert_eq!(host.allowance(second * 5, 100, true).worth, 0, "the host tolerates one connection");
        host.tolerated(second * 90);
        host.controller.usage.connections = 1;
    };
    let mut host = Host::new(100, Learned::default());
    after_ban(&mut host);
    host.controller.set_target(second * 90, 100, 0.0, StepReason::TryMore);
    assert_eq!(host.controller.target(), 64, "the highest automatic number");
    let mut host = Host::new(100, Learned::default());
    host.controller.usage.connections = 3;
    host.on(Duration::ZERO, Observation::Refused { wait: Duration::ZERO, deliberate: true });
    host.controller.usage.connections = 0;
    after_ban(&mut host);
    assert_eq!(host.allowance(second * 91, 100, true).worth, 2, "the host refused a fourth connection");
}
