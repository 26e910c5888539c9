//! What a module is: its id, type, version and manifest, and how a project or a workspace is laid out on disk.

mod cargo;
mod edit;
mod git;
mod hosts;
mod id;
mod limits;
mod locks;
mod manifest;
mod name;
mod native;
mod poetry;
mod project;
mod requirements;
mod session;
mod setuptools;

pub use cargo::{CARGO_FILE, CARGO_LOCK};
pub use edit::{ManifestEdit, NewDependency};
pub use git::{GitReference, GitSource, GitSourceError, is_commit};
pub use hosts::{HostPattern, HostPatternError, is_localhost};
pub use id::{IdError, ModuleId, ModuleSpec, ModuleType, near_id};
pub use limits::{Isolation, Limits, LimitsTable};
pub(crate) use limits::{bytes, seconds};
pub use locks::PythonLock;
pub use manifest::{
    Dependency, DependencyEntry, DependencyTable, LintLevel, Manifest, ManifestError, ManifestFile, ModuleTable,
    Permissions, PermissionsTable, Publish, Runtime, WorkspaceTable,
};
pub use name::{ModuleName, NameError};
pub use native::{NativeError, NativeManifest};
pub(crate) use project::member_folders;
pub use project::{MANIFEST_FILE, Project, ProjectError, SCHEMA_FOLDER, Workspace, existing_folder, package_dir_of};
pub use requirements::{
    PythonNeeds, PythonNeedsError, RequirementError, SDK_VERSION, python_needs, python_requirements,
};
pub use session::DevSession;
pub use setuptools::Setuptools;
