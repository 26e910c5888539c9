//! Templates in, project out. A template is a folder of `templates/` (`docs/templates.md`), embedded into the binary.
//! A project appears as a whole or not at all.

mod error;
mod git;
mod render;
mod template;
mod variable;
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
};
use crate::{
    check::{SCHEMA_FOLDER, editor_files},
    module::ModuleName,
    report::Reporter,
};

/// Where a project keeps which template it was made from.
const RECORD_FILE: &str = ".napt/template.toml";

/// What to make.
#[derive(Debug, Clone)]
pub struct NewOptions {
    /// A template's id, which is also the type of the module that it makes.
    pub template: String,
    /// The module's name, and its folder's.
    pub name: String,
    /// The folder to make it in.
    pub parent: PathBuf,
    /// Values of the template's variables.
    pub values: BTreeMap<String, String>,
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
    /// All files, relative to the folder, sorted.
    pub files: Vec<String>,
    /// Commands to type next, in the folder.
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
    let template = Template::find(&options.template)?;
    let name: ModuleName = options.name.parse()?;
    let target = options.parent.join(name.as_str());
    if target.symlink_metadata().is_ok() {
        return Err(ScaffoldError::Taken(target));
    }

    let maker = Maker { engine: Engine::new()?, git_author: git::author() };
    let answers = maker.answers(&template, &name, &options.values, ask)?;
    let mut files = Files::default();
    maker.project(&template, &name, &answers, &mut files)?;
    let context = maker.context(&template, &name, &answers);
    let next = template.next.iter().map(|command| maker.engine.text(command, &context)).collect::<Result<_, _>>()?;

    write::write(&target, &files)?;
    reporter.step("Created", &format!("{} `{name}` in `{}`", template.id, relative(&target, &options.parent)));
    Ok(Created { path: target, name: name.to_string(), template: template.id.clone(), files: files.into_paths(), next })
}

fn relative(path: &Path, base: &Path) -> String {
    path.strip_prefix(base).unwrap_or(path).display().to_string()
}

/// The folder of the project's schemas, as a file in the folder `into` refers to it.
fn schemas_from(into: &str) -> String {
    let depth = into.split('/').filter(|part| !part.is_empty()).count();
    format!("{}{SCHEMA_FOLDER}", "../".repeat(depth))
}

/// What rendering needs, whichever template it is.
struct Maker {
    engine: Engine,
    git_author: String,
}

impl Maker {
    /// The value of every variable: given, asked for, or the default.
    fn answers(
        &self,
        template: &Template,
        name: &ModuleName,
        given: &BTreeMap<String, String>,
        ask: &dyn Ask,
    ) -> Result<Answers, ScaffoldError> {
        if let Some(unknown) = given.keys().find(|key| !template.variables.iter().any(|known| known.name == **key)) {
            return Err(ScaffoldError::UnknownVariable {
                given: unknown.clone(),
                template: template.id.clone(),
                variables: template.variables.iter().map(|variable| variable.name.clone()).collect(),
            });
        }
        // What is given is checked before anything is asked.
        let mut answers = Answers::new();
        for variable in &template.variables {
            if let Some(text) = given.get(&variable.name) {
                answers.insert(variable.name.clone(), variable.parse(text)?);
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
            self.part(part, &context, files)?;
        }
        for (path, text) in editor_files() {
            files.add(path, text.into_bytes())?;
        }
        let record = Record { template: &template.id, version: &template.version, answers };
        files.add(RECORD_FILE.to_owned(), toml::to_string(&record).map_err(ScaffoldError::record)?.into_bytes())
    }

    fn part(&self, part: &Part, context: &Value, files: &mut Files) -> Result<(), ScaffoldError> {
        let template = Template::find(&part.template)?;
        let name = self.engine.text(&part.name, context)?;
        let name: ModuleName = name.parse().map_err(|error| ScaffoldError::PartName {
            part: template.id.clone(),
            name: name.clone(),
            error,
        })?;
        let values = part
            .values
            .iter()
            .map(|(key, value)| Ok((key.clone(), self.engine.text(value, context)?)))
            .collect::<Result<_, ScaffoldError>>()?;
        let into = self.engine.text(&part.into, context)?;
        let answers = self.answers(&template, &name, &values, &Defaults)?;
        self.module(&template, &into, &self.context(&template, &name, &answers), files)
    }

    fn module(&self, template: &Template, into: &str, context: &Value, files: &mut Files) -> Result<(), ScaffoldError> {
        match template.folder("content") {
            Some(content) => {
                let mut context = context.clone();
                context["schemas"] = schemas_from(into).into();
                self.engine.folder(content, into, &context, files)
            }
            None => Ok(()),
        }
    }
}
