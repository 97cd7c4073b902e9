//! What callers want done, and how they hear of it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::FileStoreError;
use super::tables::{Reading, Tables};
use crate::store::StoreError;

/// A job, by what it needs: those of one kind share their fate.
pub(super) enum Task {
    Read(Read),
    /// Needs room on the disk, whatever it writes.
    Write(Write),
}

pub(super) type Read = Box<dyn Job<Reading>>;
pub(super) type Write = Box<dyn for<'t> Job<Tables<'t>>>;

/// What a caller wants done there.
pub(super) trait Job<There>: Send {
    fn run(&mut self, there: &mut There) -> Result<(), redb::Error>;

    /// Tells the caller, now that it is done and as durable as it must be.
    fn answer(self: Box<Self>, failure: Option<&Arc<FileStoreError>>);
}

pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// One call, and whoever waits for it.
pub(super) struct Call<A, T> {
    act: Option<A>,
    done: Option<T>,
    answer: Answer<T>,
    _place: OwnedSemaphorePermit,
}

impl<A, T> Call<A, T> {
    pub(super) fn boxed(act: A, answer: Answer<T>, place: OwnedSemaphorePermit) -> Box<Self> {
        Box::new(Self {
            act: Some(act),
            done: None,
            answer,
            _place: place,
        })
    }
}

impl<A, T, There> Job<There> for Call<A, T>
where
    A: FnOnce(&mut There) -> Result<T, redb::Error> + Send,
    T: Send,
{
    fn run(&mut self, there: &mut There) -> Result<(), redb::Error> {
        // Whoever has left while it waited asks again if it matters.
        let act = self.act.take().filter(|_| !self.answer.is_closed());
        self.done = act.map(|act| act(there)).transpose()?;
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<&Arc<FileStoreError>>) {
        let answer = match (self.done, failure) {
            (_, Some(failure)) => Err(StoreError::new(failure.clone())),
            (Some(done), None) => Ok(done),
            (None, None) => return,
        };
        let _ = self.answer.send(answer);
    }
}
