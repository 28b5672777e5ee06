//! Who comes next, and who may wait.

use tokio::task::JoinHandle;

use super::*;

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Lines up; says its name when it is in, and leaves.
fn ask(gate: &Arc<Gate>, turn: Turn, told: &Arc<Mutex<Vec<Turn>>>) {
    let (gate, told) = (Arc::clone(gate), Arc::clone(told));
    tokio::spawn(async move {
        let pass = gate.enter(turn).await.unwrap();
        told.lock().push(turn);
        drop(pass);
    });
}

#[tokio::test]
async fn clients_take_turns_and_spare_ones_come_last() {
    let gate = Arc::new(Gate::new(2, 100));
    let held = [
        gate.enter(Turn::Client(9)).await.unwrap(),
        gate.enter(Turn::Client(9)).await.unwrap(),
    ];
    let told = Arc::default();
    ask(&gate, Turn::Spare, &told);
    for client in [1, 1, 1, 1, 2, 3, 3] {
        ask(&gate, Turn::Client(client), &told);
    }
    settle().await;
    assert!(told.lock().is_empty());
    let [first, _second] = held;
    drop(first);
    settle().await;
    let order = [1, 2, 3, 1, 3, 1, 1].map(Turn::Client);
    assert_eq!(told.lock()[..7], order);
    assert_eq!(told.lock()[7..], [Turn::Spare]);
}

fn wait(gate: &Arc<Gate>, client: u64) -> JoinHandle<Result<(), ColdError>> {
    let gate = Arc::clone(gate);
    tokio::spawn(async move { gate.enter(Turn::Client(client)).await.map(drop) })
}

/// What a client is told at once; nothing if it may wait.
async fn refusal(gate: &Arc<Gate>, client: u64) -> Option<ColdError> {
    let waits = wait(gate, client);
    settle().await;
    match waits.is_finished() {
        true => waits.await.unwrap().err(),
        false => None,
    }
}

/// How many a client gets to wait that wants all the room there is.
async fn fill(gate: &Arc<Gate>, client: u64) -> usize {
    let before = gate.load().waiting;
    (0..200).for_each(|_| drop(wait(gate, client)));
    settle().await;
    gate.load().waiting - before
}

#[tokio::test]
async fn a_greedy_client_leaves_room_for_others() {
    let gate = Arc::new(Gate::new(2, 100));
    let _held = [
        gate.enter(Turn::Client(9)).await.unwrap(),
        gate.enter(Turn::Client(9)).await.unwrap(),
    ];
    assert_eq!(fill(&gate, 1).await, 50);
    assert_eq!(
        refusal(&gate, 1).await,
        Some(ColdError::Busy { waiting: 50 })
    );
    assert_eq!(fill(&gate, 2).await, 25);
    for modest in 3..9 {
        let waits = wait(&gate, modest);
        settle().await;
        assert!(!waits.is_finished(), "{modest} may wait");
    }
    assert_eq!(gate.load().waiting, 81);
    assert_eq!(
        refusal(&gate, 1).await,
        Some(ColdError::Busy { waiting: 81 })
    );
}

#[tokio::test]
async fn who_has_given_up_takes_no_room_of_its_own() {
    let gate = Arc::new(Gate::new(2, 10));
    let _held = [
        gate.enter(Turn::Client(9)).await.unwrap(),
        gate.enter(Turn::Client(9)).await.unwrap(),
    ];
    let gone: Vec<_> = (0..5).map(|_| wait(&gate, 1)).collect();
    settle().await;
    assert_eq!(
        refusal(&gate, 1).await,
        Some(ColdError::Busy { waiting: 5 })
    );
    gone.iter().for_each(JoinHandle::abort);
    settle().await;
    let waits = wait(&gate, 1);
    settle().await;
    assert!(!waits.is_finished());
    assert_eq!(gate.load().waiting, 1);
}

#[tokio::test]
async fn places_are_not_lost_with_who_gives_up() {
    let gate = Arc::new(Gate::new(2, 3));
    let held = [
        gate.enter(Turn::Spare).await.unwrap(),
        gate.enter(Turn::Client(1)).await.unwrap(),
    ];
    let waits: Vec<_> = [1, 2, 3].map(|client| wait(&gate, client)).into();
    settle().await;
    let full = gate.enter(Turn::Client(4)).await.unwrap_err();
    assert_eq!(full, ColdError::Busy { waiting: 3 });
    waits.iter().for_each(|wait| wait.abort());
    settle().await;
    drop(held);
    let queues = gate.queues.lock();
    assert_eq!((queues.busy, queues.spare, queues.count), (0, 0, 0));
    assert!(queues.waiting.is_empty() && queues.turns.is_empty());
}

/// A client that has given up makes room for clients, and not for one more spare request.
#[tokio::test]
async fn spare_ones_have_a_bound_of_their_own() {
    let gate = Arc::new(Gate::new(2, 100));
    let _held = gate.enter(Turn::Spare).await.unwrap();
    let _busy = gate.enter(Turn::Client(1)).await.unwrap();
    let told = Arc::default();
    ask(&gate, Turn::Spare, &told);
    ask(&gate, Turn::Spare, &told);
    let waiter = Arc::clone(&gate);
    let gone = tokio::spawn(async move { waiter.enter(Turn::Client(1)).await.map(drop) });
    settle().await;
    gone.abort();
    settle().await;
    let full = gate.enter(Turn::Spare).await.unwrap_err();
    assert_eq!(full, ColdError::Busy { waiting: 2 });
}

#[tokio::test]
async fn places_come_and_go() {
    let gate = Arc::new(Gate::new(2, 100));
    let held = [
        gate.enter(Turn::Client(9)).await.unwrap(),
        gate.enter(Turn::Client(9)).await.unwrap(),
    ];
    let told = Arc::default();
    ask(&gate, Turn::Client(1), &told);
    settle().await;
    assert!(told.lock().is_empty());
    gate.resize(3, 100);
    settle().await;
    assert_eq!(told.lock()[..], [Turn::Client(1)]);
    gate.resize(2, 0);
    let full = gate.enter(Turn::Client(1)).await.unwrap_err();
    assert_eq!(full, ColdError::Busy { waiting: 0 });
    drop(held);
    assert_eq!(gate.queues.lock().busy, 0);
}

#[tokio::test]
async fn half_of_the_places_are_kept_for_clients() {
    let gate = Arc::new(Gate::new(4, 100));
    let told = Arc::default();
    let first = gate.enter(Turn::Spare).await.unwrap();
    let _second = gate.enter(Turn::Spare).await.unwrap();
    ask(&gate, Turn::Spare, &told);
    ask(&gate, Turn::Client(1), &told);
    settle().await;
    assert_eq!(told.lock()[..], [Turn::Client(1)]);
    drop(first);
    settle().await;
    assert_eq!(told.lock()[1..], [Turn::Spare]);
}
