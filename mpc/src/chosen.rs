//! What was chosen where there was a choice: for EXPLAIN.

use crate::Circuit;
use crate::sort::Choice;

/// How the first sort ran, and the forms of all circuits outside of sorts, since it was last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Algorithm of the first sort.
    pub sort: Option<Choice>,
    /// Bit i: the form number i of [`Circuit::ALL`].
    circuits: u8,
}

const _: () = assert!(Circuit::ALL.len() == 8, "a bit for every form");

impl Chosen {
    /// Forms of circuits, fewest bits first.
    pub fn circuits(self) -> impl Iterator<Item = Circuit> {
        let forms = Circuit::ALL.into_iter().enumerate();
        forms.filter(move |(i, _)| self.circuits >> i & 1 == 1).map(|(_, form)| form)
    }
    /// Notes a sort.
    pub(crate) fn note_sort(&mut self, choice: Choice) {
        self.sort.get_or_insert(choice);
    }
    /// Notes a circuit over so many bits; up to two there is nothing to choose.
    pub(crate) fn note_circuit(&mut self, form: Circuit, width: usize) {
        if width <= 2 {
            return;
        }
        let at = Circuit::ALL.iter().position(|other| *other == form);
        self.circuits |= at.map_or(0, |i| 1 << i);
    }
}

/// "quicksort; 8 blocks to tree", the forms from fewest bits to fewest rounds; nothing where nothing was
/// chosen.
impl std::fmt::Display for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let forms: Vec<Circuit> = self.circuits().collect();
        let circuits = match forms[..] {
            [] => None,
            [form] => Some(form.to_string()),
            [Circuit::Blocks(least), .., Circuit::Blocks(most)] => {
                Some(format!("{least} to {most} blocks"))
            }
            [first, .., last] => Some(format!("{first} to {last}")),
        };
        let sort = self.sort.map(|sort| sort.to_string());
        let parts: Vec<String> = sort.into_iter().chain(circuits).collect();
        f.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Planes, Profile, Session, protocol, sort};

    #[test]
    fn a_session_tells_what_it_chose_since_it_was_asked() {
        let mut s = Session::dry(Profile::LOCAL);
        let long = Planes::ghost(1 << 20, 40);
        protocol::less_than(&mut s, &long, &long).unwrap();
        assert_eq!(s.take_chosen().to_string(), "ripple");
        assert_eq!(s.take_chosen().to_string(), "");
        sort::sort(&mut s, &long).unwrap();
        sort::sort(&mut s, &Planes::ghost(1 << 20, 2)).unwrap();
        assert_eq!(s.take_chosen().to_string(), "quicksort");
        let short = Planes::ghost(100, 40);
        protocol::less_than(&mut s, &short, &short).unwrap();
        protocol::less_than(&mut s, &long, &long).unwrap();
        sort::sort(&mut s, &Planes::ghost(1 << 20, 2)).unwrap();
        assert_eq!(s.take_chosen().to_string(), "radix 2; ripple to 16 blocks");
        sort::top_k(&mut s, &long, 10).unwrap();
        assert_eq!(s.take_chosen().to_string(), "quickselect");
    }
}
