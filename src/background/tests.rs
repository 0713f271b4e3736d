use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::*;
use crate::machine::{Machine, Work, put_in_place};

#[tokio::test]
async fn a_panic_becomes_an_error_of_the_caller() {
    let failed = blocking(|| -> Result<(), JoinError> { panic!("of the work") }).await.unwrap_err();
    assert!(failed.to_string().contains("of the work"), "{failed}");
    assert_eq!(blocking(|| Ok::<_, JoinError>(7)).await.unwrap(), 7);
}

#[cfg(target_os = "linux")]
#[test]
fn a_thread_gives_way_as_far_as_the_one_that_started_it_and_no_further() {
    let given = || {
        give_way();
        getpriority_process(None).unwrap()
    };
    let own = getpriority_process(Some(rustix::process::getpid())).unwrap();
    let both = thread::spawn(move || (given(), thread::spawn(given).join().unwrap())).join().unwrap();
    let expected = (own + NICENESS).min(19);
    assert_eq!(both, (expected, expected));
}

/// Has threads of its own and counts requests for them.
#[derive(Debug, Default)]
struct Counting {
    begun: AtomicU64,
    waits: AtomicU64,
}

impl Machine for Arc<Counting> {
    fn cores(&self) -> usize {
        77
    }

    fn begin(&self, work: Work) -> io::Result<()> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let machine = Arc::clone(self);
        thread::spawn(move || {
            let _machine = put_in_place(Arc::new(machine));
            work();
        });
        Ok(())
    }

    fn wait(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        self.waits.fetch_add(1, Ordering::SeqCst);
        futures::executor::block_on(future);
    }

    fn unique(&self) -> u128 {
        5
    }
}

#[tokio::test]
async fn work_of_every_kind_goes_to_the_machine_in_place() {
    let machine = Arc::new(Counting::default());
    let counts = || (machine.begun.load(Ordering::SeqCst), machine.waits.load(Ordering::SeqCst));
    {
        let _machine = put_in_place(Arc::new(Arc::clone(&machine)));
        assert_eq!(cores(), 77);
        assert_eq!(machine::in_place().map(|machine| machine.unique()), Some(5));

        let runtime = Handle::current();
        let waited = blocking(move || Ok::<_, JoinError>(wait(async { 1 }) + wait_in(&runtime, async { 2 }))).await;
        assert_eq!((waited.unwrap(), counts()), (3, (1, 2)));

        let failed = blocking(|| -> Result<(), JoinError> { panic!("of the work") }).await.unwrap_err();
        assert!(failed.is_panic() && failed.to_string().contains("of the work"), "{failed}");

        let (done, ended) = oneshot::channel();
        thread_of_its_own(done);
        assert_eq!(ended.await, Ok(cores()));

        let (done, ended) = oneshot::channel();
        ComputePool::new("none", 1).unwrap().spawn(move || done.send(cores()).unwrap()).unwrap();
        assert_eq!((ended.await, counts()), (Ok(77), (4, 2)));

        // Its tasks are those of the caller's runtime, on the caller's thread.
        let caller = thread::current().id();
        let background = Background::new("none", 1).unwrap();
        assert_eq!(background.spawn(async { thread::current().id() }).await.unwrap(), caller);
    }
    assert!(machine::in_place().is_none());
    assert_eq!(blocking(|| Ok::<_, JoinError>(7)).await.unwrap(), 7);
    assert_eq!(counts(), (4, 2), "the real machine is back");
}

fn thread_of_its_own(done: oneshot::Sender<usize>) {
    super::thread("none", move || done.send(cores()).unwrap()).unwrap();
}
