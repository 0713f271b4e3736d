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
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    task::{Context, Poll, Waker},
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

/// A thread as the stage holds it.
struct Actor {
    turns: Sender<Turn>,
    back: Receiver<Back>,
}

/// The same as the thread itself holds it.
struct Own {
    turns: Receiver<Turn>,
    back: Sender<Back>,
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

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Actor").finish_non_exhaustive()
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
        let ((turns, own_turns), (own_back, back)) = (channel(), channel());
        let stage = Arc::clone(self);
        std::thread::spawn(move || act(stage, own_turns, own_back));
        Actor { turns, back }
    }
}

/// The life of a thread: one piece of work after the other.
fn act(stage: Arc<Stage>, turns: Receiver<Turn>, back: Sender<Back>) {
    let _machine = put_in_place(stage as Arc<dyn Machine>);
    OWN.with(|own| *own.borrow_mut() = Some(Own { turns, back, waker: Waker::noop().clone() }));
    loop {
        // Other turns mean nothing to a thread without work.
        let turn = OWN.with(|own| own.borrow().as_ref().and_then(|own| own.turns.recv().ok()));
        let Some(Turn::Begin(work, runtime, waker)) = turn else { return };
        OWN.with(|own| own.borrow_mut().as_mut().unwrap().waker = waker);
        {
            let _runtime = runtime.enter();
            // The end of killed work, or a panic that the work's caller learns of by the end of its channel.
            drop(catch_unwind(AssertUnwindSafe(work)));
        }
        if OWN.with(|own| own.borrow().as_ref().unwrap().back.send(Back::Ended).is_err()) {
            return;
        }
    }
}

/// Waits on a thread of the stage. If the process is killed meanwhile, the work of the thread ends here.
pub fn wait_here<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        let waker =
            OWN.with(|own| own.borrow().as_ref().expect("the thread of the runtime must not wait").waker.clone());
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let turn = OWN.with(|own| {
            let own = own.borrow();
            let own = own.as_ref().unwrap();
            own.back.send(Back::Waits).ok().and_then(|()| own.turns.recv().ok())
        });
        match turn {
            Some(Turn::GoOn(waker)) => OWN.with(|own| own.borrow_mut().as_mut().unwrap().waker = waker),
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
        actor.turns.send(turn).expect("a thread of the stage ended");
        match actor.back.recv().expect("a thread of the stage ended with its turn") {
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
        actor.turns.send(Turn::Die).expect("a thread of the stage ended");
        let ended = actor.back.recv().expect("a thread of the stage ended with its turn");
        assert!(ended == Back::Ended, "killed work waits once more");
        self.stage.idle.lock().unwrap().push(actor);
    }
}
