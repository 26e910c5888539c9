//! Why there is no solution, in words: who needs what.

use std::collections::BTreeSet;

use pubgrub::{DefaultStringReporter, DerivationTree, Derived, External, Map, Ranges, ReportFormatter, Reporter, Term};
use semver::Version;

use super::solve::{Package, Provider};

type Tree = DerivationTree<Package, Ranges<Version>, String>;
type Cause = External<Package, Ranges<Version>, String>;
type Terms = Map<Package, Term<Ranges<Version>>>;

/// How many versions are listed one by one.
const LISTED: usize = 3;

/// The explanation, a sentence a line.
pub(super) fn explain(provider: &Provider<'_>, tree: &Tree) -> String {
    let text = match tree {
        DerivationTree::External(cause) => format!("{}.", Words(provider).cause(cause)),
        DerivationTree::Derived(_) => DefaultStringReporter::report_with_formatter(tree, &Words(provider)),
    };
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

struct Words<'a, 'b>(&'a Provider<'b>);

impl Words<'_, '_> {
    /// The known versions of a package in a set, and whether these are all.
    fn versions(&self, package: &Package, set: &Ranges<Version>) -> (Vec<&Version>, bool) {
        let Package::Module(id) = package else { return (Vec::new(), true) };
        let choices = self.0.choices(id);
        let inside: Vec<&Version> =
            choices.iter().map(|choice| &choice.version).filter(|version| set.contains(*version)).collect();
        let all = inside.len() == choices.len();
        (inside, all)
    }

    /// `` `agent:a` 1.0.0 or 1.1.0 ``
    fn some(&self, package: &Package, set: &Ranges<Version>) -> String {
        let (versions, all) = self.versions(package, set);
        match versions.as_slice() {
            _ if *package == Package::Request => package.to_string(),
            [] => format!("no version of {package}"),
            [one] => format!("{package} {one}"),
            _ if all => format!("every version of {package}"),
            many => format!("{package} {}", list(many, "or")),
        }
    }

    /// `` `agent:a` 1.0.0 needs `kb:b` ^2 ``, in the words of the requirement itself where all of the versions have the same.
    fn dependency(&self, package: &Package, set: &Ranges<Version>, on: &Package, on_set: &Ranges<Version>) -> String {
        let (versions, _) = self.versions(package, set);
        let root = Version::new(0, 0, 0);
        let versions = if *package == Package::Request { vec![&root] } else { versions };
        let reqs: BTreeSet<Option<String>> = versions
            .iter()
            .map(|version| {
                let needs = self.0.needs(package, version).iter();
                let reqs: Vec<String> = needs
                    .filter(|(id, _)| matches!(on, Package::Module(on) if on == id))
                    .map(|(_, req)| req.to_string())
                    .collect();
                (!reqs.is_empty()).then(|| reqs.join(" and "))
            })
            .collect();
        let who = self.some(package, set);
        let req = match reqs.into_iter().collect::<Vec<_>>().as_slice() {
            [Some(req)] => Some(req.clone()),
            _ => None,
        };
        let (fitting, _) = self.versions(on, on_set);
        match (req, fitting.is_empty()) {
            (Some(req), false) => format!("{who} needs {on} {req}"),
            (Some(req), true) => format!("{who} needs {on} {req} ({})", self.available(on)),
            (None, false) => format!("{who} needs {}", self.some(on, on_set)),
            (None, true) => format!("{who} needs a version of {on} that is not there ({})", self.available(on)),
        }
    }

    fn available(&self, package: &Package) -> String {
        let (versions, _) = self.versions(package, &Ranges::full());
        if versions.is_empty() {
            "there is no such module".to_owned()
        } else {
            format!("there is only {}", list(&versions, "and"))
        }
    }

    fn cause(&self, cause: &Cause) -> String {
        match cause {
            External::NotRoot(package, _) => format!("{package} is made"),
            External::NoVersions(package, set) => match self.versions(package, set) {
                (versions, _) if versions.is_empty() => format!("there is no version of {package} that fits"),
                _ => format!("{} is not available", self.some(package, set)),
            },
            External::Custom(package, set, reason) => format!("{} cannot be used: {reason}", self.some(package, set)),
            External::FromDependencyOf(package, set, on, on_set) => self.dependency(package, set, on, on_set),
        }
    }

    fn because(&self, first: &str, second: &str, terms: &Terms) -> String {
        format!("Because {first} and {second}, {}.", self.format_terms(terms))
    }
}

/// `1.0.0, 1.1.0 or 1.2.0`, or `1.0.0 … 1.9.0 (10 versions)`.
fn list(versions: &[&Version], last_by: &str) -> String {
    match versions {
        [] => "nothing".to_owned(),
        [one] => one.to_string(),
        [first, .., last] if versions.len() > LISTED => format!("{first} … {last} ({} versions)", versions.len()),
        [start @ .., last] => {
            let start: Vec<String> = start.iter().map(ToString::to_string).collect();
            format!("{} {last_by} {last}", start.join(", "))
        }
    }
}

impl ReportFormatter<Package, Ranges<Version>, String> for Words<'_, '_> {
    type Output = String;

    fn format_external(&self, external: &Cause) -> String {
        self.cause(external)
    }

    fn format_terms(&self, terms: &Terms) -> String {
        let mut terms: Vec<(&Package, &Term<Ranges<Version>>)> =
            terms.iter().filter(|(package, _)| **package != Package::Request).collect();
        terms.sort_by_key(|(package, term)| (matches!(term, Term::Negative(_)), package.to_string()));
        match terms.as_slice() {
            [] => "nothing fits".to_owned(),
            [(package, Term::Positive(set))] => format!("{} cannot be used", self.some(package, set)),
            [(package, Term::Negative(set))] => format!("{} must be used", self.some(package, set)),
            [(package, Term::Positive(set)), (on, Term::Negative(on_set))] => self.dependency(package, set, on, on_set),
            several => {
                let several: Vec<String> = several
                    .iter()
                    .map(|(package, term)| match term {
                        Term::Positive(set) => self.some(package, set),
                        Term::Negative(set) => format!("anything but {}", self.some(package, set)),
                    })
                    .collect();
                format!("{} do not go together", several.join(" and "))
            }
        }
    }

    fn explain_both_external(&self, first: &Cause, second: &Cause, terms: &Terms) -> String {
        self.because(&self.cause(first), &self.cause(second), terms)
    }

    fn explain_both_ref(
        &self,
        first_ref: usize,
        first: &Derived<Package, Ranges<Version>, String>,
        second_ref: usize,
        second: &Derived<Package, Ranges<Version>, String>,
        terms: &Terms,
    ) -> String {
        let first = format!("{} ({first_ref})", self.format_terms(&first.terms));
        let second = format!("{} ({second_ref})", self.format_terms(&second.terms));
        self.because(&first, &second, terms)
    }

    fn explain_ref_and_external(
        &self,
        derived_ref: usize,
        derived: &Derived<Package, Ranges<Version>, String>,
        external: &Cause,
        terms: &Terms,
    ) -> String {
        let derived = format!("{} ({derived_ref})", self.format_terms(&derived.terms));
        self.because(&derived, &self.cause(external), terms)
    }

    fn and_explain_external(&self, external: &Cause, terms: &Terms) -> String {
        format!("And because {}, {}.", self.cause(external), self.format_terms(terms))
    }

    fn and_explain_ref(
        &self,
        derived_ref: usize,
        derived: &Derived<Package, Ranges<Version>, String>,
        terms: &Terms,
    ) -> String {
        format!("And because {} ({derived_ref}), {}.", self.format_terms(&derived.terms), self.format_terms(terms))
    }

    fn and_explain_prior_and_external(&self, prior: &Cause, external: &Cause, terms: &Terms) -> String {
        format!("And because {} and {}, {}.", self.cause(prior), self.cause(external), self.format_terms(terms))
    }
}
