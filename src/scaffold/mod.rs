//! Templates in, project out. A template is a folder of `templates/` (`docs/templates.md`), embedded into the binary.
//! A project appears as a whole or not at all.

mod error;
mod git;
mod render;
mod template;
mod values;
mod variable;
mod workspace;
mod write;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use error::ScaffoldError;
use serde::Serialize;
use serde_json::Value;
pub use variable::{Ask, Defaults, Kind as VariableKind, Variable};

use self::{
    render::{Engine, Files},
    template::{Part, Template},
    values::{Given, Values},
    workspace::{Around, Place},
};
use crate::{
    module::{ModuleId, ModuleName, SCHEMA_FOLDER, Workspace},
    report::Reporter,
};

/// Where a project keeps which template it was made from.
const RECORD_FILE: &str = ".napt/template.toml";

/// What a module is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// With Naptha's SDK.
    #[default]
    Python,
    /// A Cargo package.
    Rust,
}

/// What to make.
#[derive(Debug, Clone, Default)]
pub struct NewOptions {
    /// The type of module, which has a template.
    pub module_type: String,
    /// What it is written in.
    pub language: Language,
    /// The module alone, without what its template puts around it.
    pub bare: bool,
    /// The module's name, and its folder's.
    pub name: String,
    /// The folder to make it in.
    pub parent: PathBuf,
    /// A folder of the workspace that it joins.
    pub workspace: Option<PathBuf>,
    /// Values of the template's variables.
    pub values: BTreeMap<String, String>,
    /// A file with more of them.
    pub values_file: Option<PathBuf>,
    /// What every project has for editors, by path: schemas among them.
    pub editor_files: Vec<(String, String)>,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Created {
    /// The project's folder.
    pub path: PathBuf,
    /// The module's name.
    pub name: String,
    /// The template's id.
    pub template: String,
    /// The root of the workspace that it joined.
    pub workspace: Option<PathBuf>,
    /// The root of a workspace that it is in and no member of.
    #[serde(skip)]
    pub apart_from: Option<PathBuf>,
    /// All files, sorted: relative to the folder, or where a workspace was joined, to the folder around it.
    pub files: Vec<String>,
    /// Commands to type next, in the folder, or in the workspace's.
    pub next: Vec<String>,
}

/// `.napt/template.toml`.
#[derive(Serialize)]
struct Record<'a> {
    template: &'a str,
    version: &'a str,
    answers: &'a Answers,
}

type Answers = BTreeMap<String, Value>;

/// Makes a project. Variables that are not given are asked for.
pub fn new_project(options: &NewOptions, ask: &dyn Ask, reporter: &dyn Reporter) -> Result<Created, ScaffoldError> {
    let template = Template::of(&options.module_type, options.language, options.bare)?;
    let name: ModuleName = options.name.parse()?;
    let around = match &options.workspace {
        Some(folder) => Some(Around::find(folder)?.ok_or_else(|| ScaffoldError::NoWorkspace(folder.clone()))?),
        // Whatever is wrong with it, nobody asked for the workspace.
        None => Around::find(&options.parent).ok().flatten(),
    };
    // A module that is made where the members reach is one, so it is made as one.
    let joins = |around: &&Around| options.workspace.is_some() || around.reaches();
    let joined = around.as_ref().filter(joins).map(|around| (around, around.place()));
    let parent = joined.as_ref().map_or(options.parent.as_path(), |(_, place)| place.parent.as_path());
    let target = parent.join(name.as_str());
    if target.symlink_metadata().is_ok() {
        return Err(ScaffoldError::Taken(target));
    }

    let schemas = match &joined {
        None => Some(String::new()),
        Some((around, place)) => around.way_to_schemas(&place.parent),
    };
    let maker = Maker { engine: Engine::new()?, git_author: git::author(), schemas };
    let mut values = options.values_file.as_deref().map(values::read).transpose()?.unwrap_or_default();
    let flags = options.values.iter().map(|(key, text)| (key.clone(), Given { text: text.clone(), place: None }));
    values.extend(flags);
    let answers = maker.answers(&template, &name, &values, ask)?;
    let context = maker.context(&template, &name, &answers);
    let next = template.next.iter().map(|command| maker.engine.text(command, &context)).collect::<Result<_, _>>()?;
    let mut files = Files::default();
    let shown = |path: &Path| relative(path, &options.parent);
    match &joined {
        Some((around, place)) => {
            let ids = maker.members(&template, &name, &answers, &mut files)?;
            join(around, place, &ids, &files)?;
            for id in &ids {
                reporter.step("Created", &format!("{id} in `{}`", shown(&place.parent.join(id.name.as_str()))));
            }
            reporter.step("Joined", &format!("the workspace in `{}`", shown(&around.root)));
        }
        None => {
            maker.project(&template, &name, &answers, &mut files)?;
            for (path, text) in &options.editor_files {
                files.add(path.clone(), text.clone().into_bytes())?;
            }
            write::write(&target, &files)?;
            reporter.step("Created", &format!("{} `{name}` in `{}`", template.module_type, shown(&target)));
        }
    }
    let workspace = joined.as_ref().map(|(around, _)| around.root.clone());
    let apart_from = around.as_ref().filter(|_| joined.is_none()).map(|around| around.root.clone());
    Ok(Created {
        path: target,
        name: name.to_string(),
        template: template.id,
        workspace,
        apart_from,
        files: files.into_paths(),
        next,
    })
}

/// Adds modules to a workspace: all of them, or none.
fn join(around: &Around, place: &Place, ids: &[ModuleId], files: &Files) -> Result<(), ScaffoldError> {
    let folders: Vec<PathBuf> = ids.iter().map(|id| place.parent.join(id.name.as_str())).collect();
    if let Some(taken) = folders.iter().find(|folder| folder.symlink_metadata().is_ok()) {
        return Err(ScaffoldError::Taken(taken.clone()));
    }
    // A workspace that has other problems may get a module nevertheless.
    if let Ok(workspace) = Workspace::discover(&around.root)
        && let Some(member) = ids.iter().find_map(|id| workspace.member(id))
    {
        return Err(ScaffoldError::Defined { id: member.id().clone(), folder: member.root.clone() });
    }
    let manifest = if place.is_reached { None } else { Some(around.with_members(&folders)?) };
    write::join(&around.root, &place.parent, &folders, files, manifest.as_deref())
}

fn relative(path: &Path, base: &Path) -> String {
    path.strip_prefix(base).unwrap_or(path).display().to_string()
}

/// The way up out of a folder.
fn up(folder: &Path) -> String {
    "../".repeat(folder.components().count())
}

/// Where a module that is made in an existing folder finds the JSON Schemas of its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schemas {
    /// It is a project of its own, which keeps them itself.
    Own,
    /// In the folder of its workspace, this way up.
    Above(String),
    /// Its workspace keeps none.
    None,
}

impl Schemas {
    /// As `napt new` decides it: whatever a workspace's members reach belongs to it.
    pub fn of(folder: &Path) -> Self {
        // Whatever is wrong with it, nobody asked for the workspace.
        match Around::find(folder).ok().flatten().filter(Around::has) {
            None => Schemas::Own,
            Some(around) => around.way_to_schemas(folder).map_or(Schemas::None, Schemas::Above),
        }
    }
}

/// What rendering needs, whichever template it is.
struct Maker {
    engine: Engine,
    git_author: String,
    /// The way from the folder that the files are for to the one with the schemas, when there are any.
    schemas: Option<String>,
}

impl Maker {
    /// The value of every variable: given, asked for, or the default.
    fn answers(
        &self,
        template: &Template,
        name: &ModuleName,
        given: &Values,
        ask: &dyn Ask,
    ) -> Result<Answers, ScaffoldError> {
        let is_known = |key: &str| template.variables.iter().any(|known| known.name == key);
        if let Some((unknown, value)) = given.iter().find(|(key, _)| !is_known(key)) {
            return Err(value.wrong(ScaffoldError::UnknownVariable {
                given: unknown.clone(),
                template: template.id.clone(),
                variables: template.variables.iter().map(|variable| variable.name.clone()).collect(),
            }));
        }
        // What is given is checked before anything is asked.
        let mut answers = Answers::new();
        for variable in &template.variables {
            if let Some(value) = given.get(&variable.name) {
                let parsed = variable.parse(&value.text).map_err(|error| value.wrong(error))?;
                answers.insert(variable.name.clone(), parsed);
            }
        }
        for variable in &template.variables {
            if !answers.contains_key(&variable.name) {
                let context = self.context(template, name, &answers);
                let default = self.engine.text(&variable.default_text(), &context)?;
                let text = ask.ask(variable, &default).map_err(ScaffoldError::Ask)?;
                answers.insert(variable.name.clone(), variable.parse(&text)?);
            }
        }
        Ok(answers)
    }

    /// What templates may refer to.
    fn context(&self, template: &Template, name: &ModuleName, answers: &Answers) -> Value {
        let mut context = serde_json::Map::from_iter(answers.clone());
        context.insert("name".to_owned(), name.as_str().into());
        context.insert("module_type".to_owned(), template.module_type.as_str().into());
        context.insert("git_author".to_owned(), self.git_author.clone().into());
        Value::Object(context)
    }

    /// All files of a project: what every project has, the template's own, and its parts'.
    fn project(
        &self,
        template: &Template,
        name: &ModuleName,
        answers: &Answers,
        files: &mut Files,
    ) -> Result<(), ScaffoldError> {
        let context = self.context(template, name, answers);
        self.engine.folder(template::shared_project(), "", &context, files)?;
        if let Some(root) = template.folder("root") {
            self.engine.folder(root, "", &context, files)?;
        }
        self.module(template, &self.engine.text(&template.into, &context)?, &context, files)?;
        for part in &template.parts {
            let (template, _, part_context) = self.part(part, &context)?;
            self.module(&template, &self.engine.text(&part.into, &context)?, &part_context, files)?;
        }
        files.add(RECORD_FILE.to_owned(), record(template, answers)?)
    }

    /// The same as folders beside each other, for a workspace that there is already; gives the modules.
    fn members(
        &self,
        template: &Template,
        name: &ModuleName,
        answers: &Answers,
        files: &mut Files,
    ) -> Result<Vec<ModuleId>, ScaffoldError> {
        let context = self.context(template, name, answers);
        self.module(template, name.as_str(), &context, files)?;
        files.add(format!("{name}/{RECORD_FILE}"), record(template, answers)?)?;
        let mut ids = vec![ModuleId { module_type: template.module_type, name: name.clone() }];
        for part in &template.parts {
            let (template, name, context) = self.part(part, &context)?;
            self.module(&template, name.as_str(), &context, files)?;
            ids.push(ModuleId { module_type: template.module_type, name });
        }
        Ok(ids)
    }

    /// A part's template and name, and what its files may refer to.
    fn part(&self, part: &Part, context: &Value) -> Result<(Template, ModuleName, Value), ScaffoldError> {
        let template = Template::find(&self.engine.text(&part.template, context)?)?;
        let name = self.engine.text(&part.name, context)?;
        let name: ModuleName = name.parse().map_err(|error| ScaffoldError::PartName {
            part: template.id.clone(),
            name: name.clone(),
            error,
        })?;
        let mut values = Values::new();
        for (key, text) in &part.values {
            values.insert(key.clone(), Given { text: self.engine.text(text, context)?, place: None });
        }
        let answers = self.answers(&template, &name, &values, &Defaults)?;
        let context = self.context(&template, &name, &answers);
        Ok((template, name, context))
    }

    fn module(&self, template: &Template, into: &str, context: &Value, files: &mut Files) -> Result<(), ScaffoldError> {
        match template.folder("content") {
            Some(content) => {
                let mut context = context.clone();
                let schemas = self.schemas.as_ref().map(|way| format!("{}{way}{SCHEMA_FOLDER}", up(Path::new(into))));
                context["schemas"] = schemas.unwrap_or_default().into();
                self.engine.folder(content, into, &context, files)
            }
            None => Ok(()),
        }
    }
}

/// The text of `.napt/template.toml`.
fn record(template: &Template, answers: &Answers) -> Result<Vec<u8>, ScaffoldError> {
    let record = Record { template: &template.id, version: &template.version, answers };
    let text = toml::to_string(&record).map_err(|error| ScaffoldError::broken(RECORD_FILE, &error))?;
    Ok(text.into_bytes())
}
