//! Whether a graph's nodes can be computed one after another.

use std::collections::HashMap;

use crate::error::FormatError;
use crate::graph::Node;

/// Refuses two nodes of one name, inputs that no node is, and nodes that wait for themselves.
pub(crate) fn check(nodes: &[Node<'_>], places: &HashMap<&str, usize>) -> Result<(), FormatError> {
    if places.len() < nodes.len() {
        let twice = nodes
            .iter()
            .enumerate()
            .find(|(at, node)| places[node.name] != *at);
        let name = twice.map_or("", |(_, node)| node.name);
        return Err(FormatError::contradiction(name, "two nodes", "one"));
    }
    let mut consumers = vec![Vec::new(); nodes.len()];
    let mut waiting = vec![0usize; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        for input in &node.inputs {
            let Some(&from) = places.get(producer(input)) else {
                let found = format!("an input from {}", input.escape_debug());
                return Err(FormatError::contradiction(
                    node.name,
                    found,
                    "a node's name",
                ));
            };
            consumers[from].push(at);
            waiting[at] += 1;
        }
    }
    match cyclic(&consumers, waiting) {
        Some(at) => Err(FormatError::contradiction(
            nodes[at].name,
            "a node that waits for its own output",
            "a graph without cycles",
        )),
        None => Ok(()),
    }
}

/// A node that is never free to run, where there is one (Kahn, 1962).
fn cyclic(consumers: &[Vec<usize>], mut waiting: Vec<usize>) -> Option<usize> {
    let mut free: Vec<usize> = (0..waiting.len()).filter(|&at| waiting[at] == 0).collect();
    while let Some(at) = free.pop() {
        for &consumer in &consumers[at] {
            waiting[consumer] -= 1;
            if waiting[consumer] == 0 {
                free.push(consumer);
            }
        }
    }
    waiting.iter().position(|&left| left > 0)
}

/// The node of an input such as `a`, `a:1` (its second output) or `^a` (after it, unused).
pub(crate) fn producer(input: &str) -> &str {
    let name = input.strip_prefix('^').unwrap_or(input);
    name.split(':').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_names_its_node() {
        for input in ["a/b", "a/b:1", "^a/b"] {
            assert_eq!(producer(input), "a/b");
        }
    }

    #[test]
    fn a_node_of_a_cycle_or_behind_one_is_never_free() {
        // 0 -> 1 -> 2, and 3 <-> 4 -> 5
        let consumers = [vec![1], vec![2], vec![], vec![4], vec![3, 5], vec![]];
        assert_eq!(cyclic(&consumers, vec![0, 1, 1, 1, 1, 1]), Some(3));
        assert_eq!(cyclic(&consumers[..3], vec![0, 1, 1]), None);
    }
}
