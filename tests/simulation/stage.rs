//! A machine on which one piece of work runs at a time.
//!
//! Work that blocks runs on a thread of its own, but the thread of the runtime stands still meanwhile: it hands the turn
//! over and gets it back when the work waits or ends. So a wait for a future takes no real time, the virtual clock goes
//! on only when all work waits, and everything happens in an order that follows from the seed.
//!
//! ```text
//!  runtime   ── poll ─┐                  ┌─ pending ──▶ other tasks ── poll ─┐
//!                     ▼ turn             │ turn                             ▼ turn
//!  thread             work … wait(future)┘                                  … work ends
//! ```
//!
//! When the runtime is dropped, work that waits ends at its wait, as if the process had been killed there.

use std::{
    cell::RefCell,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    thread::Thread,
};

use datacoord::machine::{Machine, Work, put_in_place};
use tokio::runtime::Handle;

use crate::kit::numbers::Numbers;

/// Cores that the program divides its work among.
const CORES: usize = 2;

/// The turn, given to a thread.
enum Turn {
    Begin(Work, Handle, Waker),
    GoOn(Waker),
    /// The process is killed.
    Die,
}

/// The turn, given back.
#[derive(PartialEq)]
enum Back {
    Waits,
    Ended,
}

/// A place for one value that one thread hands to another one, which sleeps until then. A life hands over hundreds of
/// thousands of turns, and a channel costs several times as much.
struct Hatch<T>(Mutex<(Option<T>, Option<Thread>)>);

impl<T> Hatch<T> {
    const fn new() -> Self {
        Self(Mutex::new((None, None)))
    }

    fn give(&self, value: T) {
        let (before, taker) = {
            let mut inside = self.0.lock().unwrap();
            (inside.0.replace(value), inside.1.take())
        };
        assert!(before.is_none(), "a turn was given twice");
        if let Some(taker) = taker {
            taker.unpark();
        }
    }

    fn take(&self) -> T {
        loop {
            {
                let mut inside = self.0.lock().unwrap();
                if let Some(value) = inside.0.take() {
                    return value;
                }
                inside.1 = Some(std::thread::current());
            }
            std::thread::park();
        }
    }
}

/// Between the stage and one of its threads.
struct Desk {
    turns: Hatch<Turn>,
    back: Hatch<Back>,
}

/// A thread as the stage holds it.
type Actor = Arc<Desk>;

/// The same as the thread itself holds it.
struct Own {
    desk: Arc<Desk>,
    waker: Waker,
}

thread_local! {
    /// `None` on the thread of the runtime.
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };
}

/// The payload of the panic that ends killed work.
struct Killed;

#[derive(Debug)]
pub struct Stage {
    idle: Mutex<Vec<Actor>>,
    numbers: Mutex<Numbers>,
    /// To give itself to its threads.
    own: std::sync::Weak<Stage>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Stage {
    pub fn new(seed: u64) -> Arc<Self> {
        let numbers = Mutex::new(Numbers::of(seed, &[0x57A6E]));
        Arc::new_cyclic(|own| Self { idle: Mutex::default(), numbers, own: own.clone() })
    }

    fn actor(self: &Arc<Self>) -> Actor {
        if let Some(actor) = self.idle.lock().unwrap().pop() {
            return actor;
        }
        let desk = Arc::new(Desk { turns: Hatch::new(), back: Hatch::new() });
        let (stage, own) = (Arc::clone(self), Arc::clone(&desk));
        std::thread::spawn(move || act(stage, own));
        desk
    }
}

/// The life of a thread: one piece of work after the other, until the process ends.
fn act(stage: Arc<Stage>, desk: Arc<Desk>) {
    let _machine = put_in_place(stage as Arc<dyn Machine>);
    loop {
        // Other turns mean nothing to a thread without work.
        let Turn::Begin(work, runtime, waker) = desk.turns.take() else { continue };
        OWN.with(|own| *own.borrow_mut() = Some(Own { desk: Arc::clone(&desk), waker }));
        {
            let _runtime = runtime.enter();
            // The end of killed work, or a panic that the work's caller learns of by the end of its channel.
            drop(catch_unwind(AssertUnwindSafe(work)));
        }
        desk.back.give(Back::Ended);
    }
}

/// Waits on a thread of the stage. If the process is killed meanwhile, the work of the thread ends here.
pub fn wait_here<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let (desk, mut waker) = OWN.with(|own| {
        let own = own.borrow();
        let own = own.as_ref().expect("the thread of the runtime must not wait");
        (Arc::clone(&own.desk), own.waker.clone())
    });
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        desk.back.give(Back::Waits);
        match desk.turns.take() {
            Turn::GoOn(next) => {
                waker = next.clone();
                OWN.with(|own| own.borrow_mut().as_mut().unwrap().waker = next);
            }
            _ => resume_unwind(Box::new(Killed)),
        }
    }
}

impl Machine for Stage {
    fn cores(&self) -> usize {
        CORES
    }

    fn begin(&self, work: Work) -> io::Result<()> {
        let stage = self.own.upgrade().ok_or_else(|| io::Error::other("the stage is gone"))?;
        drop(tokio::spawn(Running { stage, work: Some(work), actor: None }));
        Ok(())
    }

    fn wait(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        wait_here(future);
    }

    fn unique(&self) -> u128 {
        let mut numbers = self.numbers.lock().unwrap();
        u128::from(numbers.next()) << 64 | u128::from(numbers.next())
    }
}

/// A piece of work as a task of the runtime.
struct Running {
    stage: Arc<Stage>,
    /// Until it begins.
    work: Option<Work>,
    /// While it waits.
    actor: Option<Actor>,
}

impl Future for Running {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        let (actor, turn) = match (self.work.take(), self.actor.take()) {
            (Some(work), _) => (self.stage.actor(), Turn::Begin(work, Handle::current(), waker)),
            (None, Some(actor)) => (actor, Turn::GoOn(waker)),
            (None, None) => return Poll::Ready(()),
        };
        actor.turns.give(turn);
        match actor.back.take() {
            Back::Waits => {
                self.actor = Some(actor);
                Poll::Pending
            }
            Back::Ended => {
                self.stage.idle.lock().unwrap().push(actor);
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(actor) = self.actor.take() else { return };
        actor.turns.give(Turn::Die);
        let ended = actor.back.take();
        assert!(ended == Back::Ended, "killed work waits once more");
        self.stage.idle.lock().unwrap().push(actor);
    }
}
