//! The facenet command: train, evaluate, embed, pairs, synth.
