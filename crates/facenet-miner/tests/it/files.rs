//! Embeddings in a file: the same lists as from memory.

use std::path::PathBuf;

use facenet_miner::{EmbeddingFile, Embeddings, Miner, MinerConfig, RowLayout};
use safetensors::tensor::{Dtype, TensorView, serialize};

const DIM: usize = 9;

/// A file of the process's own, removed at the end of the test.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let name = format!("facenet-miner-it-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        Self(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// 4,000 rows, more than two tiles, one of which holds a NaN.
fn rows() -> Vec<f32> {
    let value = |i: usize| ((i * i + 7 * i) % 1009) as f32 / 1009.0;
    let mut rows: Vec<f32> = (0..4000 * DIM).map(value).collect();
    rows[100 * DIM + 3] = f32::NAN;
    rows
}

#[test]
fn mapped_rows_give_the_lists_of_rows_in_memory() {
    let rows = rows();
    let labels: Vec<u32> = (0..4000).map(|i| i % 1300).collect();
    let config = MinerConfig {
        hardest_negatives: 20,
        ..MinerConfig::default()
    };
    let miner = Miner::new(config).expect("the default margin");
    let embeddings = Embeddings::new(&rows, DIM).expect("whole rows");
    let expected = miner
        .hardest_negatives(embeddings, &labels)
        .expect("a label a row");
    assert_eq!((expected.of(99).len(), expected.of(100).len()), (20, 0));

    let bytes: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensor = TensorView::new(Dtype::F32, vec![4000, DIM], &bytes).expect("whole rows");
    let whole = serialize([("embeddings", tensor)], None).expect("one tensor");
    let layout = RowLayout {
        offset: (whole.len() - bytes.len()) as u64,
        rows: 4000,
        dim: DIM,
    };
    let file = TestFile::new("rows.safetensors", &whole);
    for mapped in [
        EmbeddingFile::open_safetensors(&file.0, "embeddings"),
        EmbeddingFile::open(&file.0, layout),
    ] {
        let mapped = mapped.expect("a whole file");
        let mut n_rows = 0;
        let mut is_same = |row: u32, list: &[_]| {
            n_rows += 1;
            assert_eq!(list, expected.of(row as usize));
        };
        miner
            .visit_hardest_negatives(mapped.embeddings(), &labels, &mut |_, _| (), &mut is_same)
            .expect("a label a row");
        assert_eq!(n_rows, 3999);
    }
}
