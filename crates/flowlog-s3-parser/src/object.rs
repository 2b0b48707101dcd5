//! Reading one object through the decoder.

use flowlog_core::decode::{DecodeError, Decoded, Fallback, Limits, ObjectDecoder};
use flowlog_core::ingest::Partials;
use flowlog_core::object::{ObjectError, ObjectRef, Objects};
use flowlog_core::rollup::Accumulator;

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

/// Streams an object through the decoder into the accumulator. `write` is shown what has come of it after
/// every piece, so that memory stays bounded. A body that breaks is resumed under the live decoder.
pub(crate) async fn read<'a, O: Objects, E>(
    objects: &O,
    at: &ObjectRef,
    etag: &str,
    limits: Limits,
    accumulator: Accumulator<Partials<'a>>,
    mut write: impl AsyncFnMut(&mut Partials<'a>) -> Result<(), E>,
) -> Result<Result<Decoded<Accumulator<Partials<'a>>>, ReadError>, E> {
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
                Ok(decoder) => Box::pin(parquet::read(objects, at, &head, decoder, write)).await,
                Err(error) => Ok(Err(ReadError::Decode(error))),
            };
        }
        if let Some(sink) = decoder.sink_mut() {
            write(sink.chunks_mut()).await?;
        }
    }
}
