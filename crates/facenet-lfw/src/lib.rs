//! The LFW verification protocol: pairs files, folds, accuracy, VAL at FAR, AUC, EER.
