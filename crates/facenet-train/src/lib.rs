//! The FaceNet training engine: sample, embed, mine, train, score, checkpoint.
