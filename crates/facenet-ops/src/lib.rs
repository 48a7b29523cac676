//! Differentiable operations for face networks that candle lacks or does slowly.
