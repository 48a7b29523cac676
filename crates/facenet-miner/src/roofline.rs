#![doc = include_str!("../ROOFLINE.md")]
