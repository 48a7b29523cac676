//! Mining the embeddings of a tensor where they are.

use candle_core::{Storage, Tensor};
use facenet_miner::{Draw, Embeddings, Mined, Miner};

use crate::dense::dense;
use crate::error::TrainError;

/// [`Miner::mine`] for a tensor of candle's, on the tensor's own device.
///
/// On a GPU the kernels read candle's memory, on candle's stream, if `miner` is on that GPU; else
/// the CPU mines a copy. The triplets are the same.
///
/// - `embeddings`: `[n, dim]`, f32
/// - `labels`: `[n]`
///
/// # Errors
/// [`TrainError::Candle`] for a tensor of another shape or type, or on another kind of device;
/// [`TrainError::Mine`] as [`Miner::mine`] has it.
pub fn mine_tensor(
    miner: &Miner,
    embeddings: &Tensor,
    labels: &[u32],
    draw: Draw,
) -> Result<Mined, TrainError> {
    let (_, dim) = embeddings.dims2()?;
    let embeddings = embeddings.contiguous()?;
    let (storage, layout) = embeddings.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => {
            let rows = dense(storage.as_slice::<f32>()?, layout)?;
            Ok(miner.mine(Embeddings::new(rows, dim)?, labels, draw)?)
        }
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => {
            use candle_core::backend::BackendStorage;
            let range = layout.start_offset()..layout.start_offset() + layout.shape().elem_count();
            let rows = storage.as_cuda_slice::<f32>()?.slice(range);
            let stream = storage.device().cuda_stream();
            Ok(miner.mine_on_device(&stream, (&rows, dim), labels, draw)?)
        }
        _ => Err(candle_core::Error::Msg("expected a tensor on the CPU or on CUDA".into()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use facenet_miner::MinerConfig;

    fn points() -> Tensor {
        let points = [[9.0f32, 0.0], [9.0, 0.5], [9.0, 0.6], [9.0, -0.6]];
        Tensor::new(&points, &Device::Cpu).expect("a tensor")
    }

    #[test]
    fn a_view_of_a_tensor_is_mined_as_its_rows_are() {
        let miner = Miner::new(MinerConfig::default()).expect("valid");
        let view = points().narrow(1, 1, 1).expect("the second column");
        let labels = [7, 7, 8, 9];
        let mined = mine_tensor(&miner, &view, &labels, Draw::default()).expect("f32 rows");
        let rows = Embeddings::new(&[0.0, 0.5, 0.6, -0.6], 1).expect("points");
        let expected = miner
            .mine(rows, &labels, Draw::default())
            .expect("four rows");
        assert_eq!(mined, expected);
        assert_eq!(mined.triplets.len(), 1);
    }

    #[test]
    fn other_types_and_shapes_are_refused() {
        let miner = Miner::new(MinerConfig::default()).expect("valid");
        let f64s = points().to_dtype(DType::F64).expect("a cast");
        let vector = points().flatten_all().expect("a vector");
        for tensor in [f64s, vector] {
            let mined = mine_tensor(&miner, &tensor, &[0; 4], Draw::default());
            assert!(matches!(mined, Err(TrainError::Candle(_))), "{mined:?}");
        }
    }
}
