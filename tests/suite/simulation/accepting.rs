//! Listeners and their backlog in the simulation: errors of accept. To add a case, fill `Backlog::failures`
//! or connect many peers.

use std::time::Duration;

use evserve::close_reason::CloseReason;
use evserve::limits::Limits;

use super::world::{Simulation, for_every_seed};

#[test]
fn listeners_survive_accept_errors() {
    for_every_seed(|seed| {
        const ECONNABORTED: i32 = rustix::io::Errno::CONNABORTED.raw_os_error();
        const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
        const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();
        const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();
        let mut simulation = Simulation::new(seed, Limits::default());
        let mut exhausted = 0;
        for _ in 0..40 {
            simulation.connect(0);
            let failures = &[ECONNABORTED, EMFILE, ENFILE, EINVAL];
            if simulation.random.bool() {
                let failure = *simulation.random.choice(failures).unwrap();
                exhausted += usize::from([EMFILE, ENFILE].contains(&failure));
                simulation.backlog.borrow_mut().failures.push_back(failure);
            }
        }
        // The listener gets no further event, so it must remember that connections are waiting.
        simulation.turn(Vec::new());
        let mut turns = 0;
        while !simulation.backlog.borrow().waiting.is_empty() {
            let sleep = simulation.timeout.expect("a listener that sleeps for ever");
            assert!(sleep < Duration::from_millis(200), "a silent backlog");
            simulation.now = simulation.now + sleep;
            simulation.timeout = simulation.event_loop.turn(simulation.now, []);
            turns += 1;
            assert!(turns < 100, "it spins");
        }
        let statistics = &simulation.event_loop.services().statistics;
        assert_eq!(statistics.accepted + statistics.turned_away, 40);
        assert!(simulation.backlog.borrow().reserve_used <= exhausted);
    });
}

#[test]
fn draining_accepts_the_backlog_and_closes_idle_connections() {
    let mut simulation = Simulation::new(9, Limits::default());
    (0..10).for_each(|_| simulation.connect(0));
    simulation.turn(Vec::new());
    (0..100).for_each(|_| simulation.connect(0));
    simulation.event_loop.drain(simulation.now);
    assert_eq!(simulation.event_loop.services().statistics.accepted, 110);
    simulation.turn(Vec::new());
    assert_eq!(simulation.event_loop.connections(), 110);
    simulation.now = simulation.now + simulation.timeout.unwrap();
    simulation.turn(Vec::new());
    assert!(simulation.event_loop.is_finished());
    assert_eq!(simulation.event_loop.services().statistics.ended(CloseReason::Drained), 110);
}

#[test]
fn a_listener_whose_accept_keeps_failing_does_not_spin() {
    let mut simulation = Simulation::new(9, Limits::default());
    simulation.connect(0);
    simulation.backlog.borrow_mut().failures.extend([rustix::io::Errno::PERM.raw_os_error(); 1000]);
    for _ in 0..20 {
        simulation.turn(Vec::new());
        assert!(simulation.timeout > Some(Duration::ZERO));
        simulation.now = simulation.now + Duration::from_millis(100);
    }
}
