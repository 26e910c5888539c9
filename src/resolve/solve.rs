//! PubGrub over a universe that is already known.
//!
//! A requirement becomes the set of the known versions that it matches, so that pre-releases mean exactly what they
//! mean to `semver`, which no range of versions could say.

use std::{cmp::Reverse, collections::BTreeMap, convert::Infallible, fmt};

use pubgrub::{Dependencies, DependencyProvider, PackageResolutionStatistics, PubGrubError, Ranges};
use semver::{Version, VersionReq};

use super::{Choice, Lock, Origin, ResolveError, Universe, explain::explain, fetch::Found, matches};

/// What PubGrub chooses versions of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Package {
    /// The request itself, which needs the roots and all members.
    Request,
    /// A module.
    Module(Origin),
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Package::Request => f.write_str("this request"),
            Package::Module(origin) => write!(f, "`{}`", origin.id),
        }
    }
}

/// The one version that a request has.
const REQUEST_VERSION: Version = Version::new(0, 0, 0);

pub(super) struct Provider<'a> {
    pub(super) universe: &'a Universe,
    /// What the request needs.
    pub(super) roots: Vec<(Origin, VersionReq)>,
    previous: &'a Lock,
}

impl Provider<'_> {
    pub(super) fn choices(&self, id: &Origin) -> &[Choice] {
        self.universe.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    /// The known versions that all of a package's requirements on `id` match.
    fn matching(&self, id: &Origin, reqs: &[&VersionReq]) -> Ranges<Version> {
        let fits = |choice: &&Choice| reqs.iter().all(|req| matches(req, &choice.version, choice.git.as_ref()));
        let matching = self.choices(id).iter().filter(fits);
        matching.fold(Ranges::empty(), |set, choice| set.union(&Ranges::singleton(choice.version.clone())))
    }

    /// What a version of a package needs.
    pub(super) fn needs(&self, package: &Package, version: &Version) -> &[(Origin, VersionReq)] {
        match package {
            Package::Request => &self.roots,
            Package::Module(id) => {
                let choice = self.choices(id).iter().find(|choice| choice.version == *version);
                choice.map(|choice| choice.dependencies.as_slice()).unwrap_or_default()
            }
        }
    }
}

impl DependencyProvider for Provider<'_> {
    type P = Package;
    type V = Version;
    type VS = Ranges<Version>;
    type Priority = (u32, Reverse<usize>);
    type M = String;
    type Err = Infallible;

    /// What was often in conflict first, then what has the fewest versions left.
    fn prioritize(
        &self,
        package: &Package,
        range: &Ranges<Version>,
        conflicts: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let left = match package {
            Package::Request => 1,
            Package::Module(id) => self.choices(id).iter().filter(|choice| range.contains(&choice.version)).count(),
        };
        (conflicts.conflict_count(), Reverse(left))
    }

    /// The locked version, else the highest.
    fn choose_version(&self, package: &Package, range: &Ranges<Version>) -> Result<Option<Version>, Infallible> {
        let Package::Module(id) = package else { return Ok(Some(REQUEST_VERSION)) };
        let fits = || self.choices(id).iter().map(|choice| &choice.version).filter(|version| range.contains(*version));
        let locked = self.previous.get(&id.id).filter(|locked| locked.registry == id.registry);
        let locked = locked.and_then(|locked| fits().find(|version| **version == locked.version));
        Ok(locked.or_else(|| fits().next_back()).cloned())
    }

    fn get_dependencies(
        &self,
        package: &Package,
        version: &Version,
    ) -> Result<Dependencies<Package, Ranges<Version>, String>, Infallible> {
        let mut needs: BTreeMap<&Origin, Vec<&VersionReq>> = BTreeMap::new();
        for (id, req) in self.needs(package, version) {
            needs.entry(id).or_default().push(req);
        }
        let constraints =
            needs.into_iter().map(|(id, reqs)| (Package::Module(id.clone()), self.matching(id, &reqs))).collect();
        Ok(Dependencies::Available(constraints))
    }
}

/// One version of everything that is needed, or why there is none.
pub(super) fn solve(found: &Found, previous: &Lock) -> Result<BTreeMap<Origin, Version>, ResolveError> {
    // A member is one whatever its version; `*` alone would not match a pre-release.
    let members = found.members.iter().map(|(origin, version)| {
        let only = VersionReq { comparators: vec![exactly(version)] };
        (origin.clone(), only)
    });
    // What members need, they say themselves.
    let asked = found.direct[..found.roots].iter().cloned();
    let roots = members.chain(asked).collect();
    let universe = &found.universe;
    let provider = Provider { universe, roots, previous };
    match pubgrub::resolve(&provider, Package::Request, REQUEST_VERSION) {
        Ok(chosen) => Ok(chosen
            .into_iter()
            .filter_map(|(package, version)| match package {
                Package::Module(id) => Some((id, version)),
                Package::Request => None,
            })
            .collect()),
        Err(PubGrubError::NoSolution(tree)) => Err(ResolveError::Conflict { explanation: explain(&provider, &tree) }),
        Err(
            PubGrubError::ErrorRetrievingDependencies { source, .. }
            | PubGrubError::ErrorChoosingVersion { source, .. }
            | PubGrubError::ErrorInShouldCancel(source),
        ) => match source {},
    }
}

/// `=1.2.3`
fn exactly(version: &Version) -> semver::Comparator {
    semver::Comparator {
        op: semver::Op::Exact,
        major: version.major,
        minor: Some(version.minor),
        patch: Some(version.patch),
        pre: version.pre.clone(),
    }
}
