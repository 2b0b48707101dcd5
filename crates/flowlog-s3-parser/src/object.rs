//! Reading one object through the decoder.

use flowlog_core::decode::{DecodeError, Decoded, Fallback, Limits, ObjectDecoder};
use flowlog_core::object::{ObjectError, ObjectRef, Objects};
use flowlog_core::rollup::{Accumulator, Chunk};

use crate::download::Download;
use crate::parquet;

/// Why an object yielded nothing.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It could not be read.
    Object(ObjectError),
    /// It was read and is unusable.
    Decode(DecodeError),
}

/// Streams an object through the decoder into the accumulator. Full chunks go to `on_chunk` as they
/// come, so that memory stays bounded. A body that breaks is resumed under the live decoder.
pub(crate) async fn read<O: Objects, E>(
    objects: &O,
    at: &ObjectRef,
    etag: &str,
    limits: Limits,
    accumulator: Accumulator,
    mut on_chunk: impl AsyncFnMut(Chunk) -> Result<(), E>,
) -> Result<Result<Decoded<Accumulator>, ReadError>, E> {
    let mut download = match Download::open(objects, at, etag).await {
        Ok(download) => download,
        Err(error) => return Ok(Err(ReadError::Object(error))),
    };
    let size = Some(download.head().size);
    let mut decoder = ObjectDecoder::new(limits, Fallback::Default, size, accumulator);
    loop {
        let piece = match download.next().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(decoder.finish().map_err(ReadError::Decode)),
            Err(error) => return Ok(Err(ReadError::Object(error))),
        };
        if let Err(error) = decoder.push(&piece) {
            if !decoder.is_parquet() {
                return Ok(Err(ReadError::Decode(error)));
            }
            let head = download.head().clone();
            // What it has not given yet is not wanted in this order.
            drop(download);
            return match decoder.into_parquet(head.size) {
                // In a box, so that it takes no room where it is not needed.
                Ok(decoder) => Box::pin(parquet::read(objects, at, &head, decoder, on_chunk)).await,
                Err(error) => Ok(Err(ReadError::Decode(error))),
            };
        }
        for chunk in decoder.sink_mut().map(Accumulator::take_ready).unwrap_or_default() {
            on_chunk(chunk).await?;
        }
    }
}
