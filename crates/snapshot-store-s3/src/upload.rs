//! An upload in parts, so that one that is lost is sent again alone.

use std::sync::Arc;

use object_store::{
    GetOptions, ObjectStore, PutPayload,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use weir_checkpoint::StoreError;

use crate::{
    answer::{Answer, Failed},
    store::{Inner, Written},
};

/// S3 takes at most 10,000 parts; the size of a part doubles after so many.
const PARTS_OF_A_SIZE: usize = 2_500;

/// How large the parts of an object are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// An object that has no more is created by one request, and the first parts of a larger one
    /// have so many. S3 takes none below 5 MiB but the last.
    pub(crate) part_bytes: usize,
    /// So many parts may be under way.
    pub(crate) together: usize,
}

impl Sizes {
    pub(crate) const USUAL: Self = Self {
        part_bytes: 8 * 1024 * 1024,
        together: 2,
    };

    /// The bytes of the part of this index.
    pub(crate) fn of_part(&self, index: usize) -> usize {
        // 300 GB with four sizes; beyond, the server says that it is too much.
        self.part_bytes << (index / PARTS_OF_A_SIZE).min(8)
    }
}

/// An upload that was begun.
#[derive(Clone)]
pub(crate) struct Upload {
    inner: Arc<Inner>,
    path: String,
    object: Path,
    id: String,
}

impl Upload {
    pub(crate) async fn begin(inner: Arc<Inner>, path: String) -> Result<Self, StoreError> {
        let object = inner.path("write", &path)?;
        // Before anything is sent, for not every server looks when the parts are put together.
        let look = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let there = || inner.client.get_opts(&object, look.clone());
        match inner.ask("write", &path, there).await {
            Ok(_) => return Err(StoreError::AlreadyExists { path }),
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e),
        }
        let begin = || inner.client.create_multipart(&object);
        let id = inner.ask("write", &path, begin).await?;
        Ok(Self {
            inner,
            path,
            object,
            id,
        })
    }

    pub(crate) async fn part(
        self,
        index: usize,
        payload: PutPayload,
    ) -> Result<PartId, StoreError> {
        let Self {
            inner, object, id, ..
        } = &self;
        let send = || inner.client.put_part(object, id, index, payload.clone());
        inner.ask("write", &self.path, send).await
    }

    /// Makes the object of all its parts.
    pub(crate) async fn complete(
        self,
        done: Vec<PartId>,
        written: Written,
    ) -> Result<(), StoreError> {
        let Self {
            inner, object, id, ..
        } = &self;
        let complete = || inner.client.complete_multipart(object, id, done.clone());
        let (result, is_doubtful) = inner.try_on(complete).await;
        // An upload that is complete is no longer known when it is asked for again.
        let (result, is_doubtful) = match result {
            Err(failed) if failed.is_missing() && is_doubtful => {
                let answer = failed.answer.map(|answer| Answer {
                    status: 412,
                    ..answer
                });
                (Err(Failed { answer, ..failed }), true)
            }
            result => (result.map(|_| ()), is_doubtful),
        };
        if result.is_err() {
            let _ = inner.client.abort_multipart(object, id).await;
        }
        inner
            .written(&self.path, result, is_doubtful, written)
            .await
    }

    /// Gives up all its parts.
    pub(crate) async fn abort(self) -> Result<(), StoreError> {
        let abort = self.inner.client.abort_multipart(&self.object, &self.id);
        // Once: whoever gives up does not wait long, and who tidies up finds it.
        let _ = abort.await;
        Ok(())
    }
}
