//! A device that is asked for and is not there.

use facenet_miner::{Draw, Embeddings, MineDevice, Miner, MinerConfig, Rule};

const CUDA: MinerConfig = MinerConfig {
    rule: Rule::SemiHard,
    margin: 0.2,
    negative: facenet_miner::NegativeChoice::Random,
    only_violating: false,
    max_triplets: 100,
    device: MineDevice::Cuda { ordinal: 4095 },
};

#[test]
fn without_the_device_the_cpu_mines_and_says_so_in_one_line() {
    let miner = Miner::new(CUDA).expect("the CPU mines");
    let why = miner.fallback().expect("no machine has 4,096 GPUs");
    assert!(why.starts_with("miner: no cuda:4095 ("), "{why}");
    assert!(
        why.ends_with("; mining on the CPU") && !why.contains('\n'),
        "{why}"
    );
    if cfg!(not(feature = "cuda")) {
        assert!(
            why.contains("this build is without the feature cuda"),
            "{why}"
        );
    }
    let embeddings = Embeddings::new(&[0.0, 0.5, 0.6, -0.6, 0.4], 1).expect("points");
    let labels = [7, 7, 8, 9, 8];
    let mined = miner.mine(embeddings, &labels, Draw::default());
    let cpu = MinerConfig {
        device: MineDevice::Cpu,
        ..CUDA
    };
    let miner = Miner::new(cpu).expect("valid");
    assert_eq!(mined, miner.mine(embeddings, &labels, Draw::default()));
    assert_eq!(miner.fallback(), None);
}
