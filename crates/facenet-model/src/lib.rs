//! Face embedding networks, the triplet loss and the saved model folder.
