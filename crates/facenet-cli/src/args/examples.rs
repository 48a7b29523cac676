//! What `--help` of the commands begins with that have no file of their own.

/// Of `train`.
pub(super) const TRAIN: &str = "Train an embedding network; without --data-dir, a demo on synthetic identities

Example: facenet train --data-dir faces --preset lfw --lfw-dir lfw

Takes <root>/<identity>/<image>. With --data-dir, flags that are not given have the defaults of the reference's \
train_tripletloss.py, whose 28 flags are all understood, or the preset's. The model is scored on the pairs of --lfw-dir after \
each epoch; the run's folder, named at the beginning and at the end, has checkpoints to go on from with --resume.";

/// Of `evaluate`.
pub(super) const EVALUATE: &str = "Score a model, or stored embeddings, on verification pairs

Example: facenet evaluate --model models/published --lfw-dir lfw

LFW's protocol on the pairs of pairs.txt in --lfw-dir, or of another file of its form: accuracy of each fold at the best \
threshold of the others, validation rate at a false accept rate, AUC and EER, with intervals. The images are prepared as the \
model's own recipe says.";

/// Of `embed`.
pub(super) const EMBED: &str = "Write the embeddings of images

Example: facenet embed photos --model models/published --output photos.npy

An embedding is a row of unit length: two faces are compared by squared L2, 0 to 4. A safetensors or csv file has the paths \
too, beside an npy file lies a list of them. Embeddings of faces are biometric data: keep them as carefully as the pictures.";

/// Of `pairs`.
pub(super) const PAIRS: &str = "Write a pairs file for a folder of identities

Example: facenet pairs faces --output pairs.txt --folds 2 --pairs-per-fold 6

As many same as different pairs in each fold, drawn by --seed, and nobody in two folds: what `evaluate` and `train` score on.";

/// Of `synth`.
pub(super) const SYNTH: &str = "Write synthetic identities as folders, with a pairs file

Example: facenet synth drawn --identities 20 --images 5 --folds 2 --pairs-per-fold 20

Drawn faces of people who do not exist, the same for the same seed: to try things out on, not to train for the world.";

/// Of `mine`.
pub(super) const MINE: &str = "Choose triplets among stored embeddings

Example: facenet mine --embeddings rows.safetensors --rule semi-hard

The file has `embeddings` [n, dim] in f32 and `labels`, or `counts` of rows; any program may have written it. What is chosen \
depends on rows, labels, rule and seed alone: not on threads, nor on the device.";

/// Of `bench`.
pub(super) const BENCH: &str = "Time a part of the work on this machine

Example: facenet bench forward --model-def mobilefacenet --image-size 112 --batch-size 30

Median, best and worst of some calls, the share of what the processor can do, and the memory taken. Close other programs \
before, and give --threads to compare machines.";

/// Of `completions`.
pub(super) const COMPLETIONS: &str = "Print a completion script for a shell

Example: facenet completions bash

Put it where the shell looks, such as ~/.local/share/bash-completion/completions/facenet.";
